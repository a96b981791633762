"""What can go wrong in the Dockerfile buildpack before anything is executed, for the person who can put it right.

kit.BuildpackError
  InvalidDockerfile        the Dockerfile cannot be used; all that is wrong with it at once, before an image is fetched
  arguments.InvalidWord    the words of one instruction cannot be understood; told as a problem of the Dockerfile

`buildpacks.installer.errors.InvalidSetting` is raised for `BP_*` variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from buildpacks.installer.errors import Origin
from buildpacks.installer.problems import InvalidFiles

# What kind of mistake a problem is, for reports and tests; the message says it to people.
ProblemKind = Literal[
    "file",
    "encoding",
    "too-large",
    "lfs-pointer",
    "merge-conflict",
    "template",
    "directive",
    "no-from",
    "before-from",
    "stage",
    "unknown-instruction",
    "arguments",
    "word",
    "flag",
    "heredoc",
    # what the policy says of a file that is understood
    "not-allowed",
    "unsupported",
    "dangerous",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to change in a Dockerfile."""

    origin: Origin
    kind: ProblemKind
    instruction: str | None = None
    """The keyword of the instruction that it is about, in capitals; `None`: the file as a whole."""
    message: str
    """What is wrong, in one line."""
    change: str
    """What to do, in one line."""


class InvalidDockerfile(InvalidFiles[Problem]):
    """A Dockerfile, or what belongs to it, cannot be used as it is."""


def in_order(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems by their lines; those of the same line stay as they are."""
    return tuple(sorted(problems, key=lambda problem: problem.origin.line or 0))
