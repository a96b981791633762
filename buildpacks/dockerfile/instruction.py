"""What a Dockerfile is, once it is read: instructions with their places (https://docs.docker.com/reference/dockerfile/).

Nothing is evaluated here: variables stand as they are written.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """`--name=value` before the arguments of an instruction; `value` is `None` for `--name` alone."""

    name: str
    value: str | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """A here-document. `content` ends with a line end unless it is empty; tabs are gone where `<<-` says so."""

    name: str
    content: str
    line: int
    """The first line of the content."""
    expands: bool
    """False where the word is quoted: variables stay as they are."""
    strips_tabs: bool
    descriptor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """An instruction of the file, as written but for continuation lines, which are joined, and comments between them."""

    keyword: str
    """In capitals, also where it is none that there is."""
    line: int
    """First line, from 1."""
    end_line: int
    """Last line, that of heredocs included."""
    flags: tuple[Flag, ...] = ()
    rest: str
    """What follows keyword and flags, without white space around it; with `<<WORD` where there are heredocs."""
    words: tuple[str, ...] | None = None
    """The strings of the exec form (a JSON array), where `rest` is one and the instruction knows that form; else `None`."""
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A parser directive: `# syntax=…`, `# escape=…`, `# check=…`. `name` in small letters."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A whole file."""

    path: str
    """In the application, for messages."""
    escape: str
    """`\\` or a backtick."""
    directives: tuple[Directive, ...]
    instructions: tuple[Instruction, ...]
    blank_lines: tuple[int, ...] = ()
    """Lines without text between the continuation lines of an instruction, where they have no meaning."""
