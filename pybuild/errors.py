"""Errors of the platform.

CnbError
├── InputError            3   what a person gave cannot be used
│   ├── UsageError        2   what was asked makes no sense
│   ├── SourceError       3   the repository cannot be had or read
│   └── SettingsError     3   a setting of the build cannot be used
├── MachineError          4   the machine lacks something
│   ├── ToolMissing       4   a program is not installed
│   ├── SandboxUnusable   4   the kernel or the container forbids sandboxes
│   ├── DockerUnusable    4   the Docker engine does not answer, or cannot build
│   ├── SubordinateIdsMissing 4  the user may not be other users inside of a sandbox
│   └── NoSpace           4   a disk is full
├── ImageMoved           72   an image that was to be replaced is another one now
├── TimeLimitReached     53   `--timeout`
│   └── DetectTimeLimitReached 23
├── Cancelled           130   nobody wants the result any more
└── PhaseFailed               detect or build ended with the status that the lifecycle gave it
    ├── PackageNotFound       a package, or a version of it, is in no index or channel of the build
    └── PackageConflict       no versions of the packages fit together

Exit codes are documented in docs/exit-codes.md; the lifecycle's own are in `lifecycle.errors`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError, InputError

# What tempfile says, whatever it is that keeps it from writing
_NO_TEMPORARY_DIRECTORY = "No usable temporary directory"


class _ToldError(CnbError):
    """An error whose text the raiser gives."""

    def __init__(self, summary: str, hint: str | None = None) -> None:
        super().__init__(summary)
        self._summary = summary
        self._hint = hint

    @property
    def summary(self) -> str:
        """The problem in one line."""
        return self._summary

    @property
    def hint(self) -> str | None:
        """What to change."""
        return self._hint


class UsageError(_ToldError, InputError):
    """What was asked makes no sense, before anything was looked at."""

    exit_code = 2


class SourceError(_ToldError, InputError):
    """The repository cannot be had or read."""

    exit_code = 3


class SettingsError(_ToldError, InputError):
    """A setting of the build cannot be used."""

    exit_code = 3


class MachineError(_ToldError):
    """The machine lacks something that pybuild needs."""

    exit_code = 4


class ToolMissing(MachineError):
    """A program is not installed; `package` is the Debian package that has it."""

    def __init__(self, tool: str, package: str, purpose: str) -> None:
        self.tool = tool
        self.package = package
        super().__init__(
            f"`{tool}` is not installed, and pybuild needs it {purpose}",
            f"install the package `{package}`, on Debian and Ubuntu: apt-get install {package}",
        )


class SandboxUnusable(MachineError):
    """Bubblewrap is there but may not make a sandbox; `reason` is its own message."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"bubblewrap cannot make a sandbox here: {reason}",
            "allow unprivileged user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu 24.04 "
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`), or run pybuild as root; in a container, "
            "start that one with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined`",
        )


class SubordinateIdsMissing(MachineError):
    """The machine gives the user no numbers for the users that a Dockerfile's commands run as, or too few."""

    def __init__(self, *, user: str, file: str) -> None:
        self.user = user
        self.file = file
        super().__init__(
            f"`{file}` gives the user `{user}` fewer than 65535 subordinate ids, and commands of a Dockerfile run as users of "
            "their own",
            f"let an administrator run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`, with a range "
            "that nobody else has; or build with `--engine docker`",
        )


class DockerUnusable(MachineError):
    """There is a docker command, but it cannot do what it is needed for."""


class NoSpace(MachineError):
    """A disk is full."""

    def __init__(self, path: Path | None, free: int | None = None) -> None:
        self.path = path
        room = "" if free is None else f" ({free // 2**20} MiB free)"
        where = f" for `{path}`" if path is not None else ""
        super().__init__(
            f"no space left on the device{where}{room}",
            "free some space there; `XDG_CACHE_HOME` moves pybuild's store to another disk, `TMPDIR` its temporary files",
        )


class ImageMoved(CnbError):
    """Somebody has put another image where the one was that is to be replaced."""

    exit_code = 72

    def __init__(self, *, location: str, before: Digest, now: Digest) -> None:
        super().__init__(location, before, now)
        self.location = location
        self.before = before
        self.now = now

    @property
    def summary(self) -> str:
        """Which image."""
        return f"`{self.location}` is another image than the one that was rebased, and is left as it is"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What it was and what it is."""
        return (("before", str(self.before)), ("now", str(self.now)))

    @property
    def hint(self) -> str | None:
        """What to do."""
        return "rebase it again, or say where to with `--output WHERE`"


class TimeLimitReached(CnbError):
    """The time limit of the build was reached while `phase` ran."""

    exit_code = 53

    def __init__(self, phase: str, limit_s: float) -> None:
        super().__init__(phase, limit_s)
        self.phase = phase
        self.limit_s = limit_s

    @property
    def summary(self) -> str:
        """The problem in one line."""
        limit = f"{self.limit_s / 60:g} minutes" if self.limit_s >= 60 else f"{self.limit_s:g} seconds"
        return f"the time limit of {limit} was reached in the phase `{self.phase}`"

    @property
    def hint(self) -> str | None:
        """What to change."""
        return "give the build more time, for example `--timeout 2h`"


class DetectTimeLimitReached(TimeLimitReached):
    """The same, while it was being found out what the repository is."""

    exit_code = 23


class Cancelled(CnbError):
    """Nobody wants the result any more, and the work has ended; what it was to change is as it was."""

    exit_code = 130

    @property
    def summary(self) -> str:
        """The problem in one line."""
        return "the build was cancelled"


class PhaseFailed(CnbError):
    """A phase that ran in the build environment failed; the texts are those of the error that ended it there."""

    def __init__(
        self,
        *,
        code: str,
        exit_code: int,
        summary: str,
        facts: tuple[tuple[str, str], ...] = (),
        hint: str | None = None,
        said: bool,
    ) -> None:
        super().__init__(summary)
        self.exit_code = exit_code  # type: ignore[misc]  # the lifecycle's, which differs from error to error
        self.said = said
        """Whether a buildpack has shown its own error already, which says more than this one."""
        self._code = code
        self._summary = summary
        self._facts = facts
        self._hint = hint

    @property
    def code(self) -> str:
        """That of the error that ended the phase."""
        return self._code

    @property
    def summary(self) -> str:
        """The problem in one line."""
        return self._summary

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What the summary has no room for."""
        return self._facts

    @property
    def hint(self) -> str | None:
        """What to change."""
        return self._hint


class PackageNotFound(PhaseFailed):
    """A package, or a version of it, is in no package index or channel of the build."""


class PackageConflict(PhaseFailed):
    """No versions of the packages fit all that is required."""


# By the codes of the buildpacks' errors
PACKAGE_FAILURES: Mapping[str, type[PhaseFailed]] = {
    "package-not-found": PackageNotFound,
    "package-conflict": PackageConflict,
}


def machine_error_of(err: OSError) -> MachineError | None:
    """What the system's refusal says of the machine, where that is known."""
    path = Path(err.filename) if isinstance(err.filename, (str, bytes)) and isinstance(err.filename, str) else None
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(path)
    if err.errno == errno.ENOENT and (err.strerror or "").startswith(_NO_TEMPORARY_DIRECTORY):
        return MachineError(
            "no directory for temporary files can be written", "make room in `/tmp`, or name a directory with `TMPDIR`"
        )
    if err.errno == errno.EIO:
        what = "a disk" if path is None else f"`{path}`"
        return MachineError(
            f"{what} cannot be read or written: {os.strerror(errno.EIO)}", "look at what `dmesg` says of the disk"
        )
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and path is not None:
        return MachineError(f"cannot write `{path}`: {os.strerror(err.errno)}", "look at its permissions")
    return None
