"""From the bytes of a requirement file to its logical lines, by pip's rules.

https://pip.pypa.io/en/stable/reference/requirements-file-format/ says: UTF-8 unless a byte order mark or a PEP 263 comment
says otherwise; a backslash at the end of a line joins it with the next; `#` at the start of a line or after white space
begins a comment; `${NAME}` is replaced when that variable is set.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# The order matters: the mark of UTF-16-LE is how that of UTF-32-LE begins.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# https://peps.python.org/pep-0263/, as pip looks for it: in comments on the first two lines
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
# The longest line of the corpus has 20 kB (hashes); pip's expressions need quadratic time on long ones.
LINE_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalLine:
    """A line without comment and white space around it, never empty; `number` is that of its first physical line."""

    number: int
    text: str


class UndecodableText(ValueError):
    """The bytes are no text in the encoding that they should have. `line` is where that shows, from 1."""

    def __init__(self, line: int, message: str, change: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.change = change


def decode(content: bytes) -> str:
    """Return the text of a requirement file. Raises `UndecodableText`."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decode_as(content[len(mark) :], encoding, "its byte order mark says so")
    if b"\0" in content[:4096]:
        raise UndecodableText(
            1,
            "has NUL bytes, as UTF-16 without a byte order mark has",
            "save the file as UTF-8 (in PowerShell: `pip freeze | Out-File -Encoding utf8 requirements.txt`)",
        )
    for line in content.split(b"\n", 2)[:2]:
        found = _CODING.search(line) if line.startswith(b"#") else None
        if found is not None:
            return _decode_as(content, found[1].decode("ascii"), "a comment in it says so")
    return _decode_as(content, "utf-8", "")


def logical_lines(text: str) -> Iterator[LogicalLine]:
    """Yield the lines of `text` in order; those that hold nothing but comments and white space are left out."""
    for number, joined in _join(text.splitlines()):
        stripped = _without_comment(joined).strip()
        if stripped:
            yield LogicalLine(number=number, text=stripped)


def expand_variables(line: str, env: Mapping[str, str]) -> str:
    """Return `line` with every `${NAME}` replaced whose variable is set and not empty."""
    return _VARIABLE.sub(lambda found: env.get(found[1]) or found[0], line)


def unset_variables(line: str) -> tuple[str, ...]:
    """Return the names of the `${NAME}` in an expanded line: those that could not be replaced."""
    return tuple(dict.fromkeys(_VARIABLE.findall(line)))


def _decode_as(content: bytes, encoding: str, reason: str) -> str:
    try:
        return content.decode(encoding)
    except LookupError as err:
        raise UndecodableText(
            1, f"has the unknown encoding `{encoding}`: {reason}", "save the file as UTF-8 without that comment"
        ) from err
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        why = f", although {reason}" if reason else ""
        raise UndecodableText(
            line,
            f"is not {encoding.upper()} text{why}",
            "save the file as UTF-8, or name its encoding on the first line: `# -*- coding: latin-1 -*-`",
        ) from err


def _join(lines: list[str]) -> Iterator[tuple[int, str]]:
    parts: list[str] = []
    first = 0
    for number, line in enumerate(lines, start=1):
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            first = first if parts else number
            parts.append(line.strip("\\"))
            continue
        if not parts:
            yield number, line
            continue
        # The space makes sure that a comment after a continuation is seen as one.
        yield first, "".join([*parts, f" {line}" if is_comment else line])
        parts = []
    if parts:
        yield first, "".join(parts)


def _without_comment(line: str) -> str:
    start = line.find("#")
    while start > 0 and not line[start - 1].isspace():
        start = line.find("#", start + 1)
    return line if start < 0 else line[:start]
