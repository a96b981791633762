r"""Instructions as text that BuildKit and buildah, new and old, read alike: BuildKit's shell/lex.go and parser/, and imagebuilder's.

The escape character of what is written is always the backslash.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence

from buildpacks.dockerfile.instruction import Flag
from buildpacks.dockerfile.mounts import Mount

# BuildKit and buildah read lines of 65535 bytes; buildah silently forgets what follows a longer one.
LONGEST_LINE = 65_000
# So long is a line that is continued, in characters, each of which has four bytes at most.
_LONGEST_PART = LONGEST_LINE // 4 - 100
_TRIES = 100
_COMMENT = re.compile(r"\s*#")
# `$name`, `${name}`, `${name:-word}`, `${name:+word}`: buildah 1.28 knows no other form.
_COMMON_FORM = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*(?::[-+][^${}'\"\\]*)?\})", re.ASCII)
_ESCAPED = re.compile(r"\\.")
_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./*?\[\]-]*", re.ASCII)
_BARE_FLAG = re.compile(r"[^\s'\"\\]*")


def is_common(text: str, *, escape: str) -> bool:
    """Whether variables, quotes and escape characters of `text` mean the same to every builder, as they stand."""
    if escape != "\\" and ("\\" in text or escape in text):
        return False
    if text.endswith("\\"):
        return False
    return "$" not in _COMMON_FORM.sub("", _ESCAPED.sub("", text))


def quote(text: str) -> str:
    """Return a word that stands for `text` as it is."""
    if text and _BARE.fullmatch(text):
        return text
    return '"' + re.sub(r'[\\"$]', r"\\\g<0>", text) + '"'


def write_flags(flags: Iterable[Flag]) -> str:
    """Return flags as they stand before arguments, each with a space in front."""
    return "".join(f" {_write_flag(flag)}" for flag in flags)


def _write_flag(flag: Flag) -> str:
    if flag.value is None:
        return f"--{flag.name}"
    if _BARE_FLAG.fullmatch(flag.value):
        return f"--{flag.name}={flag.value}"
    return f'--{flag.name}="' + re.sub(r'[\\"]', r"\\\g<0>", flag.value) + '"'


def write_mount(mount: Mount) -> str:
    """Return the value of a flag `--mount`."""
    options = (name if value is None else f"{name}={value}" for name, value in mount.options)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([f"type={mount.type}", *options])
    return line.getvalue()


def write_instruction(keyword: str, flags: Iterable[Flag], rest: str) -> str:
    """Return an instruction. Long ones are continued on other lines."""
    separator = " --" if rest.startswith("--") else ""
    return _fold(f"{keyword}{write_flags(flags)}{separator} {rest}".rstrip())


def write_exec_form(words: Sequence[str]) -> str:
    """Return words as a JSON array in one line."""
    return json.dumps(list(words), ensure_ascii=False)


def write_script(keyword: str, flags: Iterable[Flag], shell: Sequence[str], script: str, *, has_head: bool) -> str:
    """Return an instruction in exec form whose last word is `script`, every line of which stands on a line of its own.

    The first of them stands beside the keyword where `has_head` says so.
    """
    before = "".join(f"{json.dumps(word, ensure_ascii=False)}," for word in shell)
    *lines, last = script.split("\n")
    pieces = [*(f"{_in_json(line)}\\n" for line in lines), _in_json(last)]
    first = pieces.pop(0) if has_head else ""
    parts = [f'{keyword}{write_flags(flags)} [{before}"{first}', *pieces]
    parts[-1] += '"]'
    return _fold("\\\n".join(parts))


def _in_json(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    # A line that begins like a comment is one, also where it continues another. Where long ones are split is not known yet.
    count = -1 if len(written) > _LONGEST_PART else 1 if written.lstrip().startswith("#") else 0
    return written.replace("#", "\\u0023", count)


def _fold(text: str) -> str:
    return "\n".join(map(_fold_line, text.split("\n"))) if len(text) > _LONGEST_PART else text


def _fold_line(line: str) -> str:
    parts = []
    start = 0
    while len(line) - start > _LONGEST_PART:
        end = start + _LONGEST_PART
        tries = 0
        # Neither may a backslash stand before the one that continues the line, nor may the next line look like a comment.
        while tries < _TRIES and (line[end - 1] == "\\" or _COMMENT.match(line, end)):
            end -= 1
            tries += 1
        if tries == _TRIES:
            break
        parts.append(line[start:end])
        start = end
    return "\\\n".join([*parts, line[start:]])
