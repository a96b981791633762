"""Slices: which files of the application get a layer of their own (platform.md, "Slices").

Patterns are those of Go's `filepath.Match` (https://pkg.go.dev/path/filepath#Match): `*` and `?` stop at `/`, there is no `**`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from lifecycle.cnb.launch import Slice
from lifecycle.errors import ExportError


def assign_slices(app_dir: Path, app_path: PurePosixPath, slices: Sequence[Slice]) -> Mapping[bytes, int]:
    """Return for each path below `app_dir` that a slice takes the number of that slice; the first slice wins.

    Paths are relative to `app_dir`; a directory that is taken brings everything in it. `app_path` is where the application
    is in the image, for patterns that are absolute. Raises `ExportError` for a malformed pattern.
    """
    patterns = [[_compile(pattern, app_path) for pattern in part.paths] for part in slices]
    assigned: dict[bytes, int] = {}
    for path, parent in _walk(app_dir):
        text = os.fsdecode(path)
        numbers = [number for number, part in enumerate(patterns) if any(one.fullmatch(text) for one in part)]
        if parent in assigned:
            numbers.append(assigned[parent])
        if numbers:
            assigned[path] = min(numbers)
    return assigned


def _walk(root: Path) -> Iterator[tuple[bytes, bytes]]:
    """Every path below `root` with its parent, parents first; links are not followed."""
    pending = [b""]
    top = os.fsencode(root)
    while pending:
        parent = pending.pop()
        with os.scandir(top + b"/" + parent) as entries:
            for entry in entries:
                path = parent + b"/" + entry.name if parent else entry.name
                yield path, parent
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)


def _compile(pattern: str, app_path: PurePosixPath) -> re.Pattern[str]:
    relative = pattern.removeprefix(f"{app_path}/") if pattern.startswith("/") else pattern
    cleaned = os.path.normpath(relative) if relative else ""
    expression = "".join(_translate(cleaned, pattern))
    # What points outside of the application matches nothing, since no relative path looks like that.
    return re.compile(expression, re.DOTALL)


def _translate(pattern: str, shown: str) -> Iterator[str]:
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            yield "[^/]*"
        elif character == "?":
            yield "[^/]"
        elif character == "[":
            expression, position = _translate_class(pattern, position, shown)
            yield expression
        elif character == "\\":
            if position == len(pattern):
                raise _malformed(shown)
            yield re.escape(pattern[position])
            position += 1
        else:
            yield re.escape(character)


def _translate_class(pattern: str, position: int, shown: str) -> tuple[str, int]:
    """Expression for what follows `[`, and the position behind the `]`."""
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    while pattern[position : position + 1] != "]" or not ranges:
        first, position = _class_character(pattern, position, shown)
        last = first
        if pattern[position : position + 1] == "-":
            last, position = _class_character(pattern, position + 1, shown)
        # Go takes a range whose end is before its beginning as one that nothing is in.
        ranges.append(f"{re.escape(first)}-{re.escape(last)}" if first <= last else "")
    members = "".join(ranges)
    if negated:
        return f"[^/{members}]", position + 1
    return (f"(?!/)[{members}]" if members else "(?!)"), position + 1


def _class_character(pattern: str, position: int, shown: str) -> tuple[str, int]:
    character = pattern[position : position + 1]
    if character == "\\":
        position += 1
        character = pattern[position : position + 1]
    elif character in ("-", "]"):
        raise _malformed(shown)
    if not character:
        raise _malformed(shown)
    return character, position + 1


def _malformed(pattern: str) -> ExportError:
    return ExportError(
        message=f"`{pattern}`, a path of a slice in launch.toml, is not a pattern",
        advice="close its `[`, and write `\\` before a character that stands for itself",
    )
