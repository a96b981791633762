"""What can go wrong in the pip buildpack, for the person who can put it right.

kit.BuildpackError
  InvalidRequirements      lines or files that cannot be used; all of them at once, before anything is downloaded
  MissingTool              the build image lacks a program that this buildpack needs
  BrokenInterpreter        an archive of the builder is not there, not what its list says, or cannot be unpacked
  InvalidSetting           a `BP_*` variable has a value that means nothing
  DiskFull                 there is no space, or no quota, for what has to be written
  InstallationFailed       uv or pip gave up; `diagnosis` found out why, where it could
    PackageNotFound        a package, or a version of it, is in no index
    PackageConflict        no versions fit all requirements
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from buildpacks.installer.problems import InvalidFiles
from lifecycle.cnb.detecting import BuildpackError

# What kind of mistake a problem is, for reports and tests; the message says it to people.
ProblemKind = Literal[
    "invalid",
    "option",
    "encoding",
    "missing-file",
    "missing-path",
    "outside",
    "local-file",
    "cycle",
    "unreachable",
    "hash",
    "dead-protocol",
    "not-a-package",
    "conda-export",
    "conflict",
    "lfs-pointer",
    "template",
    "other-format",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A line of a requirement file. `file` is relative to the app directory, or a URL without credentials."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to change in a requirement file."""

    origin: Origin
    kind: ProblemKind
    message: str
    """What is wrong, in one line."""
    change: str
    """What to do, in one line."""


class InvalidRequirements(InvalidFiles[Problem]):
    """Requirement files cannot be used as they are."""


@dataclass(eq=False, kw_only=True)
class MissingTool(BuildpackError):
    """A program or file of the build image is not there."""

    tool: str
    looked_in: str

    @property
    def summary(self) -> str:
        """What is missing."""
        return f"the build image has no `{self.tool}`"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where it should be."""
        return (("looked in", self.looked_in),)

    @property
    def hint(self) -> str | None:
        """The builder is incomplete; the repository is fine."""
        return "this is a fault of the builder, not of the repository: make it again with `pybuild builder create`"


@dataclass(eq=False, kw_only=True)
class BrokenInterpreter(BuildpackError):
    """An interpreter of the builder cannot be used."""

    path: str
    reason: str

    @property
    def summary(self) -> str:
        """Which file, and what is wrong with it."""
        return f"`{self.path}` {self.reason}"

    @property
    def hint(self) -> str | None:
        """The builder is at fault, not the repository."""
        return "this is a fault of the builder, not of the repository: make it again with `pybuild builder create`"


@dataclass(eq=False, kw_only=True)
class InvalidSetting(BuildpackError):
    """A variable that steers the buildpack has a value that it cannot have."""

    variable: str
    value: str
    allowed: str

    @property
    def summary(self) -> str:
        """The variable and its value."""
        return f"`{self.variable}` cannot be `{self.value}`"

    @property
    def hint(self) -> str | None:
        """The values that it can have."""
        return f"set it to {self.allowed}"


@dataclass(eq=False, kw_only=True)
class DiskFull(BuildpackError):
    """Something could not be written."""

    path: str | None = None
    """Where, if that is known."""

    @property
    def summary(self) -> str:
        """That the disk is full."""
        return "the disk is full"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What could not be written."""
        return () if self.path is None else (("writing", self.path),)

    @property
    def hint(self) -> str | None:
        """Where space is needed."""
        return "free some space where pybuild keeps its store (`XDG_CACHE_HOME`), or move the store"


@contextlib.contextmanager
def naming_full_disk() -> Iterator[None]:
    """Raise `DiskFull` for what the system says when there is no space or no quota, until the context ends."""
    try:
        yield
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path=str(err.filename) if err.filename else None) from err
        raise


@dataclass(eq=False, kw_only=True)
class InstallationFailed(BuildpackError):
    """uv or pip could not resolve or install the requirements. The tool's own text was shown before."""

    problem: str
    """One line; starts with the requirement's place where one is known."""
    details: tuple[tuple[str, str], ...]
    change: str | None

    @property
    def summary(self) -> str:
        """What the tool could not do."""
        return self.problem

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was found out about the cause."""
        return self.details

    @property
    def hint(self) -> str | None:
        """What to change."""
        return self.change


# Platforms know the next two by their codes, whichever buildpack raises them.
class PackageNotFound(InstallationFailed):
    """A package, or a version of it, is in no package index of the build."""


class PackageConflict(InstallationFailed):
    """No versions of the packages fit all that is required."""
