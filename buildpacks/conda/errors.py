"""What can go wrong in the conda buildpack, for the person who can put it right.

kit.BuildpackError
  InvalidEnvironmentFile   environment.yml cannot be used as it is; all that is wrong with it at once, before anything is downloaded
  ChannelPolicyViolation   environment.yml is understood, but asks for channels or packages that no image is built with

`buildpacks.conda.failures` has those of the way from the file to the packages, `buildpacks.installer.errors` those of the settings
and of the `pip:` section. What can go wrong with packages that are there stands beside what is done with them:

  install.UnusablePackage          a package is not made as packages are, or would write where it must not
  install.PrefixNotMade            rattler gave up for a reason that belongs to no package
  link_scripts.LinkScriptFailed    the script of a package gave up
  activation.ActivationFailed      an activation script ended the shell that sourced it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from buildpacks.conda.origin import Origin
from buildpacks.installer.problems import InvalidFiles

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
    # what the policy says of a file that is understood
    "defaults",
    "nodefaults",
    "channel",
    "unlisted-channel",
    "insecure-channel",
    "local-channel",
    "windows-package",
    "macos-package",
    # what the channels and the locks of the repository say of it
    "unknown-package",
    "unknown-version",
    "lock",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something to change in an environment file."""

    origin: Origin | None
    """`None`: the file as a whole."""
    kind: ProblemKind
    message: str
    """What is wrong, in one line."""
    change: str
    """What to do, in one line; empty where the error says what mends all of them."""


@dataclass(eq=False, kw_only=True)
class _OfEnvironmentFile(InvalidFiles[Problem]):
    name: str
    """The file, relative to the app directory."""

    @property
    def files(self) -> tuple[str, ...]:
        """The only file."""
        return (self.name,)


class InvalidEnvironmentFile(_OfEnvironmentFile):
    """An environment file cannot be used as it is."""


def invalid(name: str, origin: Origin | None, kind: ProblemKind, message: str, change: str) -> InvalidEnvironmentFile:
    """Return the error for a file in which nothing more can be looked at."""
    problem = Problem(origin=origin, kind=kind, message=message, change=change)
    return InvalidEnvironmentFile(name=name, problems=(problem,))


# https://anaconda.com/docs/tools/working-with-conda/reference/default-channels
_WHY_NO_DEFAULTS = (
    "Anaconda limits downloads from its own channels, and its licence asks larger organisations to pay for\n"
    "them; conda adds them to every file that does not list `nodefaults`, and builds break because of it"
)


@dataclass(eq=False, kw_only=True)
class ChannelPolicyViolation(_OfEnvironmentFile):
    """An environment file asks for channels or packages that no image is built with."""

    patch: str | None
    """The file corrected, as a unified diff; `None` where there is nothing that can be corrected without a decision."""
    beside: tuple[str, ...]
    """What the patch changes beside the problems, one line each."""
    is_complete: bool
    """Whether the patch puts all of it right."""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every problem by its place, with what to do, and the reason for the rule."""
        only = (("change", self.problems[0].change),) if len(self.problems) == 1 else ()
        beside = tuple(("patch", change) for change in self.beside)
        why = (("why", _WHY_NO_DEFAULTS),) if self._kinds & {"defaults", "nodefaults"} else ()
        return (*only, *super().facts, *beside, *why)

    @property
    def document(self) -> str | None:
        """The patch."""
        return self.patch

    @property
    def hint(self) -> str | None:
        """How the change is made, and the setting that builds without it."""
        if self.patch is None:
            return "change these lines; `pybuild fix` cannot, because what belongs there is yours to decide"
        ways = ["change the file as shown, or let pybuild do it: `pybuild fix <repo>`"]
        if not self.is_complete:
            ways.append("the patch leaves the other lines as they are: what belongs there is yours to decide")
        elif self._kinds == {"nodefaults"}:
            ways.append(f"to build it unchanged: {_setting('inject')}, which reads it as if the patch were made")
        elif self._kinds <= {"nodefaults", "defaults"}:
            ways.append(f"to build it unchanged: {_setting('rewrite')}, which reads it as if the patch were made")
        return "\n".join(ways)

    @property
    def _kinds(self) -> set[ProblemKind]:
        return {problem.kind for problem in self.problems}


def _setting(mode: str) -> str:
    return f"`pybuild build -e BP_CONDA_NODEFAULTS={mode} <repo>`"
