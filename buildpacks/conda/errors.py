"""What can go wrong in the conda buildpack, for the person who can put it right.

kit.BuildpackError
  InvalidEnvironmentFile   environment.yml cannot be used as it is; all that is wrong with it at once, before anything is downloaded

`buildpacks.installer.errors` has those of its settings and of the `pip:` section.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifecycle.cnb.kit import BuildpackError

# What kind of mistake a problem is, for reports and tests; the message says it to people.
ProblemKind = Literal[
    "file",
    "encoding",
    "too-large",
    "yaml",
    "tab",
    "duplicate-key",
    "tag",
    "not-an-environment",
    "conda-export",
    "template",
    "conflict",
    "lfs-pointer",
    "shell",
    "key",
    "channels",
    "dependencies",
    "dependency",
    "pip",
    "variable",
]

# A file that is wrong throughout is not made clearer by all its lines.
_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A place in a file. `file` is relative to the app directory; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to change in an environment file."""

    origin: Origin | None
    """`None`: the file as a whole."""
    kind: ProblemKind
    message: str
    """What is wrong, in one line."""
    change: str
    """What to do, in one line."""


@dataclass(eq=False, kw_only=True)
class InvalidEnvironmentFile(BuildpackError):
    """An environment file cannot be used as it is. `problems` is not empty, in the order of the lines."""

    name: str
    """The file, relative to the app directory."""
    problems: tuple[Problem, ...]

    @property
    def summary(self) -> str:
        """The problem, or how many there are."""
        if len(self.problems) == 1:
            return f"{self._place(self.problems[0])}: {self.problems[0].message}"
        return f"{len(self.problems)} problems in `{self.name}`"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every problem by its place, with what to do."""
        if len(self.problems) == 1:
            return ()
        shown = tuple(
            (f"{self._place(problem)}:", f"{problem.message}: {problem.change}") for problem in self.problems[:_SHOWN]
        )
        hidden = len(self.problems) - len(shown)
        return (*shown, ("", f"and {hidden} more")) if hidden else shown

    @property
    def hint(self) -> str | None:
        """What to do about the only problem."""
        return self.problems[0].change if len(self.problems) == 1 else None

    def _place(self, problem: Problem) -> str:
        return self.name if problem.origin is None else str(problem.origin)
