"""How the problems of files that a person wrote are told: one for itself, several as a list by their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from lifecycle.cnb.detecting import BuildpackError

# A file that is wrong throughout is not made clearer by all its lines.
_SHOWN = 30


class Place(Protocol):
    """A place in a file, which its text names."""

    @property
    def file(self) -> str:
        """The file, relative to the app directory."""


class Told(Protocol):
    """A problem of a file."""

    @property
    def origin(self) -> Place | None:
        """`None`: the file as a whole."""

    @property
    def message(self) -> str:
        """What is wrong, in one line."""

    @property
    def change(self) -> str:
        """What to do, in one line; may be empty."""


def summarise_problems(problems: Sequence[Told], files: Sequence[str]) -> str:
    """Return the only one of `problems` by its place, or how many there are in which `files`; neither is empty."""
    if len(problems) == 1:
        return f"{problems[0].origin or files[0]}: {problems[0].message}"
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(files))
    return f"{len(problems)} problems in {names}"


def list_problems(problems: Sequence[Told], files: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return facts: every problem by its place, with what to do; nothing for one alone, which the summary names."""
    if len(problems) == 1:
        return ()
    shown = tuple(
        (f"{one.origin or files[0]}:", f"{one.message}: {one.change}" if one.change else one.message)
        for one in problems[:_SHOWN]
    )
    hidden = len(problems) - len(shown)
    return (*shown, ("", f"and {hidden} more")) if hidden else shown


_Problem = TypeVar("_Problem", bound=Told)


@dataclass(eq=False, kw_only=True)
class InvalidFiles(BuildpackError, Generic[_Problem]):
    """Files of a repository cannot be used as they are. `problems` is not empty, in the order of the files and their lines."""

    problems: tuple[_Problem, ...]

    @property
    def summary(self) -> str:
        """The problem, or how many there are in which files."""
        return summarise_problems(self.problems, self.files)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every problem by its place, with what to do."""
        return list_problems(self.problems, self.files)

    @property
    def hint(self) -> str | None:
        """What to do about the only problem."""
        return self.problems[0].change if len(self.problems) == 1 else None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the problems are in; unique."""
        return tuple(dict.fromkeys(one.origin.file for one in self.problems if one.origin is not None))
