"""Splits one line of a Dockerfile, its continuation lines joined, into keyword, flags and arguments.

Specification: parser/split_command.go and parser/parser.go of BuildKit's Dockerfile frontend.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass

from buildpacks.dockerfile.arguments import SEPARATORS, WHITE_SPACE, InvalidWord
from buildpacks.dockerfile.instruction import Flag, Heredoc, Instruction
from buildpacks.dockerfile.words import expand

_EXEC_FORM = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of instructions, its continuation lines joined."""

    text: str
    starts: tuple[tuple[int, int], ...]
    """Where in `text` lines of the file begin: offset and number; not empty."""
    end: int
    """Number of the last line of the file that belongs to it."""

    @property
    def number(self) -> int:
        """The number of its first line."""
        return self.starts[0][1]

    def number_at(self, offset: int) -> int:
        """Return the number of the line that the character at `offset` stands in."""
        return self.starts[max(0, bisect_right(self.starts, (offset, self.end)) - 1)][1]


def split_instruction(line: Line, *, escape: str) -> Instruction:
    """Return the instruction of `line`, without its here-documents; arrays that are no exec form give no `words`."""
    text = line.text.strip(WHITE_SPACE)
    indent = len(line.text) - len(line.text.lstrip(WHITE_SPACE))
    separator = SEPARATORS.search(text)
    keyword, rest = text, ""
    flags: tuple[Flag, ...] = ()
    if separator:
        keyword = text[: separator.start()]
        flags, rest = _split_flags(text[separator.end() :], line, indent + separator.end(), escape)
        rest = rest.strip(WHITE_SPACE)
    words = None
    if keyword.upper() in _EXEC_FORM:
        try:
            words = parse_exec_form(rest)
        except InvalidWord:
            words = None
    return Instruction(
        keyword=keyword.upper(), line=line.number, end_line=line.end, flags=flags, rest=rest, words=words
    )


def split_trigger(instruction: Instruction, *, escape: str) -> Instruction:
    """Return what an `ONBUILD` instruction puts off; here-documents are the outer instruction's."""
    starts = ((0, instruction.line),)
    return split_instruction(Line(text=instruction.rest, starts=starts, end=instruction.end_line), escape=escape)


def _split_flags(text: str, line: Line, offset: int, escape: str) -> tuple[tuple[Flag, ...], str]:
    """The flags that `text` begins with, and what follows them; `text` begins at `offset` of `line`."""
    flags: list[Flag] = []
    place = 0
    while True:
        while place < len(text) and text[place] in WHITE_SPACE:
            place += 1
        if not text.startswith("--", place):
            return tuple(flags), text[place:]
        number = line.number_at(offset + place)
        word, place = _read_flag(text, place, escape)
        if word == "--":
            return tuple(flags), text[place:]
        name, equals, value = word[2:].partition("=")
        flags.append(Flag(name=name, value=value if equals else None, line=number))


def _read_flag(text: str, place: int, escape: str) -> tuple[str, int]:
    """The flag that begins at `place`, without quotes, and where it ends."""
    word: list[str] = []
    quote = ""
    while place < len(text):
        character = text[place]
        place += 1
        if character == quote:
            quote = ""
        elif not quote and character in WHITE_SPACE:
            return "".join(word), place
        elif not quote and character in "'\"":
            quote = character
        elif character != escape:
            word.append(character)
        elif place < len(text):
            word.append(text[place])
            place += 1
    return "".join(word), place


def parse_exec_form(rest: str) -> tuple[str, ...] | None:
    """Return the strings of a JSON array; `None` for what is none, so is for a shell. Raises `InvalidWord` for other arrays."""
    if not rest.startswith("["):
        return None
    try:
        # Numbers are not wanted, whatever their size; `NaN` and `Infinity` are Python's, not JSON's.
        values = json.loads(rest, parse_int=float, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise InvalidWord(reason="has an array that holds more than strings")
    # Go's JSON reader has no halves of characters either.
    return tuple(_HALF_CHARACTER.sub("\ufffd", value) for value in values)


_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def parse_heredoc_sign(word: str) -> Heredoc | None:
    """Return the here-document that a word of `RUN`, `COPY` or `ADD` opens, without content; `None` for other words."""
    match = _HEREDOC.match(word)
    if match is None or not match[3]:
        return None
    try:
        names = expand(match[3], {}, keep_unset=True).words
        written = expand(match[3], {}, keep_unset=True, keep_quotes=True).words
    except InvalidWord:
        return None
    if len(names) != 1 or len(written) != 1:
        return None
    return Heredoc(
        name=names[0],
        content="",
        line=0,
        # A word with quotes, anywhere in it, leaves the content as it is.
        expands=_count_quotes(names[0]) == _count_quotes(written[0]),
        strips_tabs=match[2] == "-",
        descriptor=int(match[1] or 0),
    )


def _count_quotes(word: str) -> int:
    return word.count("'") + word.count('"')
