"""What can go wrong between an environment file that is right and the packages that it asks for.

kit.BuildpackError
  UnsupportedPlatform      no channel has packages for such a run image
  UnreachableChannel       a channel did not answer, or not with packages; its credentials are missing or wrong
  UnsolvableEnvironment    no choice of packages satisfies all the lines
  SolveTimeout             none was found in time
  ForbiddenPackage         a package was chosen that comes from elsewhere than from the file's channels
  BrokenArchive            an archive is not the one that the channel describes
  InvalidRepositoryLock    a lock of the repository cannot be installed

`buildpacks.conda.errors` has those of the file itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildpacks.conda.errors import Problem
from buildpacks.conda.origin import Entry
from buildpacks.installer.problems import list_problems, summarise_problems
from lifecycle.cnb.detecting import BuildpackError

_SHOWN = 30


@dataclass(eq=False, kw_only=True)
class UnsupportedPlatform(BuildpackError):
    """conda has nothing for the target."""

    target: str
    reason: str

    @property
    def summary(self) -> str:
        """The target, and why it cannot be."""
        return f"conda packages cannot be installed for `{self.target}`: {self.reason}"

    @property
    def hint(self) -> str | None:
        """What can be used instead."""
        return "choose a run image with glibc, for amd64, arm64, ppc64le or s390x"


@dataclass(eq=False, kw_only=True)
class UnreachableChannel(BuildpackError):
    """A file of a channel could not be had. Nothing in it holds credentials."""

    url: str
    """Of the file or the channel."""
    problem: str
    """One line: `has no such channel`."""
    change: str
    details: str = ""
    """What the network said."""

    @property
    def summary(self) -> str:
        """What happened with which URL."""
        return f"`{self.url}` {self.problem}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What the network said."""
        return (("cause", self.details),) if self.details else ()

    @property
    def hint(self) -> str | None:
        """What to do."""
        return self.change


@dataclass(eq=False, kw_only=True)
class UnsolvableEnvironment(BuildpackError):
    """Nothing satisfies all the lines. Either `problems` says what is wrong with single lines, or `conflict` is not empty."""

    file: str
    problems: tuple[Problem, ...]
    conflict: tuple[Entry, ...]
    """Lines that disagree; as few as could be found in the time there was."""
    explanation: str
    """The solver's own, of many lines."""
    advice: str | None = None

    @property
    def code(self) -> str:
        """That of the same problem with other installers (`buildpacks.installer.errors`)."""
        if self.conflict:
            return "package-conflict"
        unknown = {problem.kind for problem in self.problems} & {"unknown-package", "unknown-version"}
        return "package-not-found" if unknown else super().code

    @property
    def summary(self) -> str:
        """The problem, or how many there are."""
        if len(self.problems) == 1:
            problem = self.problems[0]
            return f"{problem.origin or self.file}: {problem.message}"
        if self.problems:
            return f"{len(self.problems)} problems with the dependencies in `{self.file}`"
        if len(self.conflict) == 1:
            entry = self.conflict[0]
            return f"{entry.origin}: `{entry.text}` cannot be installed"
        return f"{len(self.conflict)} lines of `{self.file}` cannot be installed together"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every problem, or the lines that disagree and why."""
        found = []
        if len(self.problems) > 1:
            found += [
                (f"{problem.origin or self.file}:", f"{problem.message}: {problem.change}")
                for problem in self.problems[:_SHOWN]
            ]
        elif len(self.conflict) > 1:
            found += [(f"{entry.origin}:", entry.text) for entry in self.conflict[:_SHOWN]]
        return (*found, ("why", self.explanation)) if self.explanation else tuple(found)

    @property
    def hint(self) -> str | None:
        """What to change."""
        return self.problems[0].change if len(self.problems) == 1 else self.advice


@dataclass(eq=False, kw_only=True)
class SolveTimeout(BuildpackError):
    """The solver did not come to an end."""

    limit_s: float

    @property
    def summary(self) -> str:
        """After how long it was stopped."""
        return f"no solution was found within {self.limit_s:.0f} seconds"

    @property
    def hint(self) -> str | None:
        """What makes a solve easier."""
        return "say which versions of the largest packages are meant, python first: fewer choices are faster to solve"


@dataclass(eq=False, kw_only=True)
class ForbiddenPackage(BuildpackError):
    """The channels lead to packages that the file's channels do not have."""

    packages: tuple[tuple[str, str, str], ...]
    """Package, URL, and what is wrong with it; not empty."""
    change: str = (
        "the channel, or a mirror of it, refers to packages that are not its own: ask its operator, or use another"
    )

    @property
    def summary(self) -> str:
        """The package, or how many there are."""
        if len(self.packages) == 1:
            package, url, reason = self.packages[0]
            return f"`{package}` would be fetched from `{url}`, which is {reason}"
        return f"{len(self.packages)} packages would be fetched from where they must not come from"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every package with its URL."""
        if len(self.packages) == 1:
            return ()
        return tuple((package, f"{url} is {reason}") for package, url, reason in self.packages[:_SHOWN])

    @property
    def hint(self) -> str | None:
        """What to do."""
        return self.change


@dataclass(eq=False, kw_only=True)
class BrokenArchive(BuildpackError):
    """What was downloaded is not the package. It is not kept."""

    package: str
    url: str
    expected: str
    found: str

    @property
    def summary(self) -> str:
        """Which package."""
        return f"the archive of `{self.package}` is not the one that its channel describes"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where it is from, and both sides of what differs."""
        return (("url", self.url), ("expected", self.expected), ("found", self.found))

    @property
    def hint(self) -> str | None:
        """What may have happened."""
        return "build again; if it stays so, the channel or a mirror of it is damaged"


@dataclass(eq=False, kw_only=True)
class InvalidRepositoryLock(BuildpackError):
    """A lock of the repository cannot be used. `problems` is not empty, in the order of the lines."""

    name: str
    problems: tuple[Problem, ...]
    advice: str | None = None
    """What mends them all."""

    @property
    def summary(self) -> str:
        """The problem, or how many there are."""
        return summarise_problems(self.problems, (self.name,))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every problem by its place, with what to do."""
        return list_problems(self.problems, (self.name,))

    @property
    def hint(self) -> str | None:
        """What to do."""
        only = self.problems[0].change if len(self.problems) == 1 else ""
        return self.advice or only or None


def lock_failure(name: str, message: str, change: str) -> InvalidRepositoryLock:
    """Return the error for what is wrong with the lock `name` as a whole."""
    return InvalidRepositoryLock(
        name=name, problems=(Problem(origin=None, kind="lock", message=message, change=change),)
    )
