"""Requirement lines as pip reads them: logical lines of a file, what one means, and files that others name.

Form: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lifecycle.cnb.errors import ConfigurationError
from pybuild.environments.texts import read_text

_COMMENT = re.compile(r"(^|\s)#.*$")
_NESTED = re.compile(r"(?:-(?P<short>[rc])\s*|--(?P<long>requirement|constraint)(?:\s+|=))(?P<path>\S.*)")
# What is on the disk of one computer; `name @ file:…` as well.
_LOCAL = re.compile(
    r"(?:(?:-e|--editable)(?:\s*|=))?(?:\.{1,2}(?:[/\\]|$)|[/\\]|~|[a-z]:[/\\]|(?:\S+\s*@\s*)?file:)", re.IGNORECASE
)
_LOCAL_FILE = re.compile(r"[^\s:@]+\.(?:whl|tar\.gz|zip)$", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_WHEEL = re.compile(r"(?:.*/)?(?P<name>[A-Za-z0-9._]+?)-[^/]+\.whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """The lines of a requirements file with all files that it names inside; in the order in which pip reads them."""

    lines: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    """The lines of its constraints files."""


def split_lines(text: str) -> tuple[str, ...]:
    """Return the logical lines, without comments, blank lines and the ends of continued lines."""
    joined = re.sub(r"\\\r?\n", "", text)
    lines = (_COMMENT.sub("", line).strip() for line in joined.splitlines())
    return tuple(line for line in lines if line)


def is_option(line: str) -> bool:
    """Whether a line is one of pip's options, such as `--index-url URL`."""
    return line.startswith("-")


def names_file(line: str) -> bool:
    """Whether a line leads to a file of this computer."""
    return bool(_NESTED.fullmatch(line.strip()) or _LOCAL.match(line.strip()) or _LOCAL_FILE.fullmatch(line.strip()))


def requirement_name(line: str) -> str | None:
    """Return the normalised name of the project that a line asks for; `None` for an option, or where no name is said."""
    if is_option(line):
        return None
    wheel = _WHEEL.fullmatch(line.partition("#")[0].partition("?")[0])
    found = wheel["name"] if wheel else None
    if found is None and (match := _NAME.match(line)) is not None and "://" not in line.partition("@")[0]:
        found = match[0]
    return None if found is None else canonicalize_name(found)


def normalise_line(line: str) -> str:
    """Return the same text for every spelling of a requirement; other lines with single blanks between words."""
    head, options, tail = line.partition(" --")
    if is_option(line):
        return " ".join(line.split())
    try:
        requirement = Requirement(head)
    except InvalidRequirement:
        return " ".join(line.split())
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    words = sorted(f"--{word.strip()}" for word in f"{options}{tail}".split("--") if word.strip())
    return " ".join((str(requirement), *words))


def normalise(lines: Iterable[str]) -> tuple[str, ...]:
    """Return options in their order, as some undo others, then requirements sorted; each once."""
    normal = list(dict.fromkeys(normalise_line(line) for line in lines))
    return (*(line for line in normal if is_option(line)), *sorted(line for line in normal if not is_option(line)))


def read_requirements(path: Path) -> Requirements:
    """Return what a requirements file and the files that it names ask for.

    Raises:
        ConfigurationError: a file cannot be read, or asks for something that is only on this computer.
    """
    return gather(split_lines(read_text(path)), path)


def gather(lines: Iterable[str], path: Path, *, opened: frozenset[Path] = frozenset()) -> Requirements:
    """Return `lines` of the file `path` with the files that they name in their place. Raises as `read_requirements`."""
    own = path.resolve()
    found: list[str] = []
    constraints: list[str] = []
    for line in lines:
        nested = _NESTED.fullmatch(line)
        if nested is None:
            _refuse_local(line, path)
            found.append(line)
            continue
        other = _find(nested["path"].strip("\"' "), path)
        if other.resolve() in opened | {own}:
            raise ConfigurationError(
                path, f"`{line}` names a file that is being read already", advice="remove the line"
            )
        inner = _read_nested(other, opened | {own})
        constraints.extend(inner.constraints)
        (found if (nested["short"] or nested["long"])[0] == "r" else constraints).extend(inner.lines)
    return Requirements(lines=tuple(found), constraints=tuple(constraints))


def _read_nested(path: Path, opened: frozenset[Path]) -> Requirements:
    return gather(split_lines(read_text(path)), path, opened=opened)


def _find(named: str, path: Path) -> Path:
    if named.lower().startswith("file:"):
        # As pip takes it; without a host, it is relative.
        return path.parent / unquote(urlsplit(named).path)
    if "://" in named:
        advice = "download the file, and name it by its path"
        raise ConfigurationError(path, f"names `{named}`, which may say something else tomorrow", advice=advice)
    return path.parent / named


def _refuse_local(line: str, path: Path) -> None:
    if _LOCAL.match(line) or _LOCAL_FILE.fullmatch(line):
        advice = "put the package into an index, or make the environment of the whole repository: Environment.from_repository"
        raise ConfigurationError(path, f"`{line}` is on this computer only", advice=advice)
