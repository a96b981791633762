"""The lines of the keys of a TOML document: the parser of the standard library gives none.

For valid documents only (https://toml.io/en/v1.0.0): what is wrong with others the parser says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyPath = tuple[str, ...]
"""Keys from the root; an element of an array has its index for a key: `("tool", "poetry", "source", "0", "url")`."""

# A closing delimiter of three quotes is the last of a run of quotes: up to two more may be the text's own.
_TOKEN = re.compile(
    r'(?P<string>"""(?:\\.|[^\\])*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<newline>\n)|(?P<skipped>[ \t\r]+|#[^\n]*)|(?P<mark>[\[\]{},=.])|(?P<bare>[^\s\[\]{},=\"'#.]+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    line: int


def find_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the line, from 1, of every key and every element of an array in a valid document.

    A table has the line of its header, or of its first key where it has no header of its own.
    """
    walk = _Walk(tokens=tuple(_tokens(text)), lines={}, elements={})
    position = 0
    table: KeyPath = ()
    while position < len(walk.tokens):
        token = walk.tokens[position]
        if token.kind == "newline":
            position += 1
        elif token.text == "[":
            position, table = walk.read_header(position)
        else:
            position = walk.read_pair(position, table)
    return walk.lines


def _tokens(text: str) -> Iterator[_Token]:
    line, position = 1, 0
    while found := _TOKEN.match(text, position):
        kind = str(found.lastgroup)
        if kind != "skipped":
            yield _Token(kind=kind, text=found[0], line=line)
        line += found[0].count("\n")
        position = found.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    tokens: tuple[_Token, ...]
    lines: dict[KeyPath, int]
    elements: dict[KeyPath, int]
    """How many elements of an array of tables there have been."""

    def read_header(self, position: int) -> tuple[int, KeyPath]:
        line = self.tokens[position].line
        is_array = self._mark(position + 1) == "["
        position, keys = self._read_key(position + (2 if is_array else 1))
        table: KeyPath = ()
        for index, key in enumerate(keys, start=1):
            table = (*table, key)
            self.lines.setdefault(table, line)
            if is_array and index == len(keys):
                self.elements[table] = self.elements.get(table, 0) + 1
            if table in self.elements:
                table = (*table, str(self.elements[table] - 1))
                self.lines.setdefault(table, line)
        if not is_array:
            self.lines[table] = line
        return position + (2 if is_array else 1), table

    def read_pair(self, position: int, table: KeyPath) -> int:
        """Behind the value of `key = value`; every part of a dotted key has the line."""
        line = self.tokens[position].line
        start = position
        position, keys = self._read_key(position)
        for key in keys:
            table = (*table, key)
            self.lines.setdefault(table, line)
        # No document that is valid stops here; one that is not must not be read for ever.
        return max(self._read_value(position + 1, table), start + 1)

    def _read_key(self, position: int) -> tuple[int, KeyPath]:
        keys: list[str] = []
        while position < len(self.tokens) and self.tokens[position].kind in ("bare", "string"):
            keys.append(_decode(self.tokens[position]))
            position += 1
            if self._mark(position) != ".":
                break
            position += 1
        return position, tuple(keys)

    def _read_value(self, position: int, path: KeyPath) -> int:
        opening = self._mark(position)
        if opening not in ("[", "{"):
            while position < len(self.tokens):
                token = self.tokens[position]
                if token.kind == "newline" or token.text in (",", "]", "}"):
                    break
                position += 1
            return position
        position += 1
        index = 0
        while position < len(self.tokens):
            token = self.tokens[position]
            if token.kind == "mark" and token.text in ("]", "}"):
                return position + 1
            if token.kind == "newline" or token.text == ",":
                position += 1
            elif opening == "{":
                position = self.read_pair(position, path)
            else:
                element = (*path, str(index))
                self.lines.setdefault(element, token.line)
                position = max(self._read_value(position, element), position + 1)
                index += 1
        return position

    def _mark(self, position: int) -> str:
        """The mark at `position`; empty where there is none."""
        if position < len(self.tokens) and self.tokens[position].kind == "mark":
            return self.tokens[position].text
        return ""


def _decode(token: _Token) -> str:
    if token.kind == "bare":
        return token.text
    # The parser knows what escapes mean.
    return str(tomllib.loads(f"key = {token.text}")["key"])
