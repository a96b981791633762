"""Errors of environments.

CnbError
├── ConfigurationError     3   a file that an environment is made from, or a definition, does not say what it must
└── InvalidEnvironment     3   what an environment says cannot be built; every problem at once, each with a code
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lifecycle.cnb.errors import CnbError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in an environment that is wrong or risky, and what to write instead."""

    code: str
    """Stable, for programs: `too-many-docker-options`; docs/environments.md lists them."""
    message: str
    change: str
    is_error: bool = True
    """Whether it keeps the environment from being built; else it is a warning."""


@dataclass(eq=False, kw_only=True)
class InvalidEnvironment(CnbError):
    """What the environment `name` says cannot be built. At least one problem."""

    exit_code: ClassVar[int] = 3

    name: str
    problems: tuple[Problem, ...]

    @property
    def code(self) -> str:
        """That of the first problem."""
        return self.problems[0].code

    @property
    def summary(self) -> str:
        """The problem, or how many there are."""
        if len(self.problems) == 1:
            return f"environment `{self.name}`: {self.problems[0].message}"
        return f"{len(self.problems)} problems in the environment `{self.name}`"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Code and text of each problem, where there are several."""
        if len(self.problems) == 1:
            return (("code", self.problems[0].code),)
        return tuple((problem.code, f"{problem.message}: {problem.change}") for problem in self.problems)

    @property
    def hint(self) -> str | None:
        """What to write, where there is one problem."""
        return self.problems[0].change if len(self.problems) == 1 else None


def refuse(name: str, code: str, message: str, change: str) -> InvalidEnvironment:
    """Return the error that says one thing of the environment `name`."""
    return InvalidEnvironment(name=name, problems=(Problem(code=code, message=message, change=change),))
