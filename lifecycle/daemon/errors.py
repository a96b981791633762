"""What can go wrong with a Docker engine.

CnbError
  EngineUnusable             4   there is none, it does not answer, or this user may not use it
  EngineFailed              62   it does not take an image
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lifecycle.cnb.errors import CnbError


@dataclass(eq=False, kw_only=True)
class EngineUnusable(CnbError):
    """No engine can be used at `address`; `reason` is what the system or the engine says."""

    exit_code: ClassVar[int] = 4

    address: str
    reason: str
    is_denied: bool = False
    instead: str | None = None
    """What does without an engine."""

    @property
    def summary(self) -> str:
        """Which engine, and what it does not do."""
        if self.is_denied:
            return f"this user may not use the Docker engine at {self.address}"
        return f"the Docker engine at {self.address} does not answer"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was said."""
        return (("reason", self.reason),)

    @property
    def hint(self) -> str | None:
        """How to have one, and how to do without."""
        instead = "" if self.instead is None else f"; {self.instead}"
        if self.is_denied:
            who = "let an administrator add the user to the group `docker`"
            return f"{who}, or set DOCKER_HOST to an engine of the user{instead}"
        return f"start it, or set DOCKER_HOST to where it listens{instead}"


@dataclass(eq=False, kw_only=True)
class EngineFailed(CnbError):
    """The engine did not do what it was asked for. `doing`: `loading the image`."""

    exit_code: ClassVar[int] = 62

    address: str
    doing: str
    reason: str

    @property
    def summary(self) -> str:
        """Which engine, and what it says."""
        return f"the Docker engine at {self.address} failed while {self.doing}: {self.reason}"

    @property
    def hint(self) -> str | None:
        """What to do."""
        if "no space left" in self.reason:
            return "free some space where the engine keeps its images, for example with `docker image prune`"
        return "look at the log of the engine, and try again"
