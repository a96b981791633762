"""What can go wrong in the python buildpack.

kit.BuildpackError
  UnreadableVersion      a file or variable does not name a version of CPython
  OutsideRange           the version that is asked for is none of those that the repository allows elsewhere
  NoSuchInterpreter      no interpreter of the builder fits the version that is asked for
  NoForeignInterpreters  the image is for another architecture, which the builder has no interpreters for
  NoInterpreterHere      the builder has the interpreter of the image for the other architecture only
"""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.cnb.kit import BuildpackError


@dataclass(eq=False, kw_only=True)
class UnreadableVersion(BuildpackError):
    """The text at `origin` is no version of CPython."""

    origin: str
    text: str
    reason: str

    @property
    def summary(self) -> str:
        """Where, what and why."""
        return f"{self.origin}: `{self.text}` {self.reason}"

    @property
    def hint(self) -> str | None:
        """What to write."""
        return "write a version such as `3.10` or `3.10.13`"


@dataclass(eq=False, kw_only=True)
class OutsideRange(BuildpackError):
    """Two places of the repository, or of the build's settings, contradict each other."""

    origin: str
    wanted: str
    range_origin: str
    range: str
    available: tuple[str, ...]
    """Versions that the builder has and the range allows, newest first."""

    @property
    def summary(self) -> str:
        """Both versions and both places."""
        return f"{self.origin} asks for Python {self.wanted}, which {self.range_origin} does not allow: `{self.range}`"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What would fit."""
        return (("available and allowed", ", ".join(self.available) or "none"),)

    @property
    def hint(self) -> str | None:
        """What to change."""
        return f"change one of the two; without {self.origin} the newest that the range allows is taken"


@dataclass(eq=False, kw_only=True)
class NoSuchInterpreter(BuildpackError):
    """The builder has interpreters, and none of them fits."""

    origin: str
    wanted: str
    available: tuple[str, ...]
    """Newest first."""
    limits: tuple[tuple[str, str], ...] = ()
    """Ranges that it must be in as well, and where they stand."""

    @property
    def summary(self) -> str:
        """What was asked for, and where."""
        return f"{self.origin}: the builder has no Python {self.wanted}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What there is, and what else must hold."""
        limits = (("allowed", f"{text} ({origin})") for text, origin in self.limits)
        return (*limits, ("available", ", ".join(self.available) or "none"))

    @property
    def hint(self) -> str | None:
        """How to get what was asked for."""
        return (
            "ask for an available version, or add this one to `cpython` below `[pybuild.interpreters]` in builder.toml"
        )


@dataclass(eq=False, kw_only=True)
class NoForeignInterpreters(BuildpackError):
    """The builder was made for images of this machine's architecture."""

    platform: str
    looked_in: str

    @property
    def summary(self) -> str:
        """What the image is for."""
        return f"the builder has no Python for {self.platform}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where it would be."""
        return (("looked in", self.looked_in),)

    @property
    def hint(self) -> str | None:
        """Which builder has it."""
        return f"make a builder for that platform as well; `pybuild build --platform {self.platform}` does"


@dataclass(eq=False, kw_only=True)
class NoInterpreterHere(BuildpackError):
    """Packages are put together by an interpreter that runs, of the version that the image has."""

    version: str
    platform: str
    available: tuple[str, ...]
    """For this machine, newest first."""

    @property
    def summary(self) -> str:
        """Which version is missing, and for what."""
        return f"the builder has Python {self.version} for {self.platform}, and none of that minor version for this machine"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What there is."""
        return (("available here", ", ".join(self.available) or "none"),)

    @property
    def hint(self) -> str | None:
        """How to get it, or do without."""
        return "ask for a version that is available here, or add it to `cpython` below `[pybuild.interpreters]` in builder.toml"
