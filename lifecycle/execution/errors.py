"""What can go wrong while a recipe is executed, with the exit codes of platform.md (100 to 109 are those of `extender`).

CnbError
  ExtendError            100   the recipe cannot be executed here
  InstructionFailed      101   an instruction of the Dockerfile failed
  ExtendedBuildFailed    as the build phase in an extended build image ended
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lifecycle.cnb.errors import CnbError


@dataclass(eq=False, kw_only=True)
class ExtendError(CnbError):
    """What executes recipes is missing something, or gave up for a reason of its own; `output` is the end of what it said."""

    exit_code: ClassVar[int] = 100
    message: str
    output: str = ""
    advice: str | None = None

    @property
    def summary(self) -> str:
        """What happened."""
        return self.message

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The tool's own words."""
        return (("output", self.output),) if self.output else ()

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


@dataclass(eq=False, kw_only=True)
class InstructionFailed(CnbError):
    """An instruction failed: `status` is that of a command, `reason` says what is wrong where no command ran."""

    exit_code: ClassVar[int] = 101
    dockerfile: str
    line: int
    instruction: str
    """Shortened to a line."""
    status: int | None = None
    reason: str | None = None
    output: str = ""
    """The last lines that it wrote, where nobody has seen them."""
    advice: str | None = None

    @property
    def summary(self) -> str:
        """Where, and how it ended."""
        place = f"{self.dockerfile}:{self.line}"
        if self.status is not None:
            return f"{place}: `{self.instruction}` ended with status {self.status}"
        return f"{place}: `{self.instruction}` failed: {self.reason}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What it wrote."""
        return (("output", self.output),) if self.output else ()

    @property
    def hint(self) -> str | None:
        """What is known to help."""
        return self.advice


@dataclass(eq=False)
class ExtendedBuildFailed(CnbError):
    """The build phase in an extended build image failed, and has said why."""

    status: int

    def __post_init__(self) -> None:
        self.exit_code = self.status  # type: ignore[misc]  # as that of the program that was started

    @property
    def summary(self) -> str:
        """How it ended."""
        return f"the build in the extended build image ended with status {self.status}"

    @property
    def hint(self) -> str | None:
        """Where the cause stands."""
        return "its own message is above"
