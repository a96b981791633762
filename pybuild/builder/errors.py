"""What can go wrong while a builder is made.

CnbError
└── BuilderError              4   the builder cannot be made
    ├── AssemblyFailed        4   mmdebstrap could not assemble a base
    ├── ImageUnusable         4   an image cannot be a base
    ├── SubordinateIdsMissing 4   an ordinary user has no ids to assemble a base with
    ├── InterpreterMissing    4   a CPython version can be had neither from the network nor from the machine
    ├── InterpreterUnusable   4   an interpreter does not run on the run base
    ├── ToolUnavailable       4   uv, pip or Poetry cannot be had
    └── PackagingFailed       4   a part of the builder could not be put together
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from lifecycle.cnb.errors import CnbError


@dataclass(eq=False)
class BuilderError(CnbError):
    """Root of this package's errors: what could not be done, why, and what would help."""

    exit_code: ClassVar[int] = 4

    message: str
    details: tuple[tuple[str, str], ...] = ()
    advice: str | None = None

    @property
    def summary(self) -> str:
        """What could not be done."""
        return self.message

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Why."""
        return self.details

    @property
    def hint(self) -> str | None:
        """What would help."""
        return self.advice


class AssemblyFailed(BuilderError):
    """mmdebstrap could not assemble a base."""


class ImageUnusable(BuilderError):
    """An image cannot be a base."""


@dataclass(eq=False)
class SubordinateIdsMissing(BuilderError):
    """An ordinary user assembles a base with subordinate ids (https://man7.org/linux/man-pages/man5/subuid.5.html)."""

    message: str = field(init=False, default="this user has no subordinate ids, which assembling a base needs")
    user: str = field(kw_only=True)

    @property
    def hint(self) -> str | None:
        """The command that gives the user some."""
        return (
            f"run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {self.user}; "
            "or make the builder as root; or name an image in `[pybuild.build]` and `[pybuild.run]` of builder.toml"
        )


class InterpreterMissing(BuilderError):
    """A CPython version can be had neither from the network nor from the machine."""


class InterpreterUnusable(BuilderError):
    """An interpreter does not run on the run base."""


class ToolUnavailable(BuilderError):
    """uv, pip or Poetry cannot be had."""


class PackagingFailed(BuilderError):
    """A part of the builder could not be put together."""
