"""Texts of files that people write, with their places."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A place in a file. `file` is relative to the app directory; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An item of a list: `text` as YAML means it, without quotes; `origin` is where it starts."""

    text: str
    origin: Origin
