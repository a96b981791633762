"""What can go wrong in a phase, with the exit codes of platform.md ("Exit Codes"; one decade a phase).

CnbError
  PlatformApiUnsupported    11
  BuildpackApiUnsupported   12
  UsageError                 2   a flag that does not exist
  ArgumentsError             3   arguments that a phase does not take
  MissingBuildpack           3   an order names a buildpack that is not there
  CompositeCycle             3   a composite buildpack that contains itself
  NothingDetected           20   no group fits
  DetectionErrored          21   no group fits, and a buildpack had an error
  ExtensionsDetected        22   image extensions, where nobody can extend an image
  AnalyzeError              32
  RestoreError              42
  BuildpackFailed           51   a `bin/build` or `bin/fix` gave up
    GenerateFailed          91   the same of a `bin/generate`
  GenerateOutputError       92   an image extension left something that the contract does not allow
  BuildOutputError          52   a `bin/build` left something that the contract does not allow
  ExportError               62   what was built cannot become an image
  RebaseError               72   an image that nothing can take the base of
  RebaseRefused             72   a run image that may not fit
  PhaseError                     another error, with the code of the phase that it ended
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from lifecycle.cnb.api import BUILDPACK_APIS, PLATFORM_APIS, ApiVersion
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.identifier import BuildpackId

Kind = Literal["buildpack", "extension"]


@dataclass(eq=False, kw_only=True)
class PlatformApiUnsupported(CnbError):
    """`CNB_PLATFORM_API` is absent, no version, or a version that this lifecycle does not speak."""

    exit_code: ClassVar[int] = 11
    requested: str | None

    @property
    def summary(self) -> str:
        """What was asked for, what there is."""
        supported = f"this lifecycle supports {PLATFORM_APIS[0]} to {PLATFORM_APIS[-1]}"
        if not self.requested:
            return f"`CNB_PLATFORM_API` is not set; {supported}"
        return f"Platform API `{self.requested}` is not supported; {supported}"


@dataclass(eq=False, kw_only=True)
class BuildpackApiUnsupported(CnbError):
    """A buildpack speaks a version of the Buildpack API that this lifecycle does not."""

    exit_code: ClassVar[int] = 12
    buildpack: str
    requested: ApiVersion
    kind: Kind = "buildpack"

    @property
    def summary(self) -> str:
        """Which buildpack, which versions."""
        supported = f"{BUILDPACK_APIS[0]} to {BUILDPACK_APIS[-1]}"
        return (
            f"{self.kind} `{self.buildpack}` uses Buildpack API {self.requested}; this lifecycle supports {supported}"
        )


@dataclass(eq=False, kw_only=True)
class UsageError(CnbError):
    """A flag that does not exist, or that lacks its value; `usage` lists those that do."""

    exit_code: ClassVar[int] = 2
    message: str
    usage: str

    @property
    def summary(self) -> str:
        """What is wrong with the flags."""
        return self.message

    @property
    def hint(self) -> str | None:
        """The flags there are."""
        return self.usage


@dataclass(eq=False, kw_only=True)
class ArgumentsError(CnbError):
    """More arguments than a phase takes, or a phase that does not exist."""

    exit_code: ClassVar[int] = 3
    message: str

    @property
    def summary(self) -> str:
        """What is wrong with the arguments."""
        return self.message


@dataclass(eq=False, kw_only=True)
class MissingBuildpack(CnbError):
    """An order names a buildpack that is not in the buildpacks directory."""

    exit_code: ClassVar[int] = 3
    buildpack: str
    directory: Path
    kind: Kind = "buildpack"

    @property
    def summary(self) -> str:
        """Which buildpack, and where it should be."""
        return f"the order names {self.kind} `{self.buildpack}`, which is not in {self.directory}"


@dataclass(eq=False, kw_only=True)
class CompositeCycle(CnbError):
    """A composite buildpack reaches itself through its own order."""

    exit_code: ClassVar[int] = 3
    buildpacks: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The way round."""
        return f"composite buildpack contains itself: {' -> '.join(self.buildpacks)}"


@dataclass(eq=False, kw_only=True)
class FileProblem(CnbError):
    """The system refused to read or write a file that the phase itself needs: no space, no permission."""

    exit_code: ClassVar[int] = 4
    path: str | bytes | int | None
    reason: str

    @property
    def summary(self) -> str:
        """Which file, and what the system said."""
        return self.reason if self.path is None else f"{self.path!s}: {self.reason}"


@dataclass(eq=False, kw_only=True)
class PhaseError(CnbError):
    """What ended a phase, such as a registry that does not answer; all but the exit code is said by the error below."""

    error: CnbError
    status: int

    def __post_init__(self) -> None:
        self.exit_code = self.status  # type: ignore[misc]  # that of the phase

    @property
    def code(self) -> str:
        """That of the error below."""
        return self.error.code

    @property
    def summary(self) -> str:
        """That of the error below."""
        return self.error.summary

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Those of the error below."""
        return self.error.facts

    @property
    def hint(self) -> str | None:
        """That of the error below."""
        return self.error.hint


class PhaseEnded(Exception):
    """A phase in another process has ended with `exit_code`, and has said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@dataclass(eq=False, kw_only=True)
class NothingDetected(CnbError):
    """No group of the order fits the application. `reasons` are pairs of buildpack and why it does not take part."""

    exit_code: ClassVar[int] = 20
    app_dir: Path
    reasons: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """Which application."""
        return f"no group of buildpacks fits {self.app_dir}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Every buildpack with its reason."""
        return self.reasons

    @property
    def hint(self) -> str | None:
        """What to change."""
        return "add a file that one of these looks for, or build the directory that has it"


@dataclass(eq=False, kw_only=True)
class DetectionErrored(NothingDetected):
    """No group fits, and at least one buildpack could not even answer."""

    exit_code: ClassVar[int] = 21

    @property
    def summary(self) -> str:
        """Which application."""
        return f"no group of buildpacks fits {self.app_dir}, and a buildpack had an error while it looked"


@dataclass(eq=False, kw_only=True)
class ExtensionsDetected(CnbError):
    """The group has image extensions, and the program has no way to extend images."""

    exit_code: ClassVar[int] = 22
    extensions: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Which extensions."""
        named = ", ".join(f"`{one}`" for one in self.extensions)
        return f"`creator` does not extend images, and the group has image extensions: {named}"

    @property
    def hint(self) -> str | None:
        """What does."""
        return "let the platform start the phases one by one, with `extender` among them"


@dataclass(eq=False, kw_only=True)
class AnalyzeError(CnbError):
    """What is known of an image is not enough to build on it."""

    exit_code: ClassVar[int] = 32
    image: str
    message: str

    @property
    def summary(self) -> str:
        """Which image, and what it lacks."""
        return f"image `{self.image}`: {self.message}"


@dataclass(eq=False, kw_only=True)
class RestoreError(CnbError):
    """The layers directory cannot be prepared."""

    exit_code: ClassVar[int] = 42
    path: Path
    message: str

    @property
    def summary(self) -> str:
        """Where, and what the system said."""
        return f"{self.path} cannot be prepared for the build: {self.message}"


@dataclass(eq=False, kw_only=True)
class BuildpackFailed(CnbError):
    """A buildpack's `bin/build`, `bin/fix` or `bin/generate` ended with another status than 0, or could not be started."""

    exit_code: ClassVar[int] = 51
    buildpack: BuildpackId
    version: str
    status: int | None
    reason: str | None = None
    program: Literal["build", "fix", "generate"] = "build"
    kind: Kind = "buildpack"

    @property
    def summary(self) -> str:
        """Which buildpack, and how it ended."""
        ended = self.reason if self.status is None else f"exited with status {self.status}"
        return f"{self.kind} `{self.buildpack}` {self.version} could not {self.program}: `bin/{self.program}` {ended}"

    @property
    def hint(self) -> str | None:
        """Where the cause stands."""
        return "its own message is above" if self.status is not None else None


@dataclass(eq=False, kw_only=True)
class GenerateFailed(BuildpackFailed):
    """A buildpack or an image extension could not say how an image is to be made."""

    exit_code: ClassVar[int] = 91


@dataclass(eq=False, kw_only=True)
class GenerateOutputError(CnbError):
    """An image extension left something that the contract does not allow."""

    exit_code: ClassVar[int] = 92
    extension: BuildpackId
    message: str
    advice: str | None = None

    @property
    def summary(self) -> str:
        """Which extension, and what is wrong with what it left."""
        return f"extension `{self.extension}` left something that cannot be used: {self.message}"

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


@dataclass(eq=False, kw_only=True)
class BuildOutputError(CnbError):
    """A buildpack left something that the contract does not allow."""

    exit_code: ClassVar[int] = 52
    buildpack: BuildpackId
    message: str

    @property
    def summary(self) -> str:
        """Which buildpack, and what is wrong with what it left."""
        return f"buildpack `{self.buildpack}` left something that cannot be used: {self.message}"


@dataclass(eq=False, kw_only=True)
class ExportError(CnbError):
    """What was built cannot become an image."""

    exit_code: ClassVar[int] = 62
    message: str
    advice: str | None = None

    @property
    def summary(self) -> str:
        """What is missing or wrong."""
        return self.message

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


@dataclass(eq=False, kw_only=True)
class RebaseError(CnbError):
    """The run image of an image cannot be replaced."""

    exit_code: ClassVar[int] = 72
    message: str
    advice: str | None = None

    @property
    def summary(self) -> str:
        """What it lacks."""
        return f"the image cannot be rebased: {self.message}"

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


@dataclass(eq=False, kw_only=True)
class RebaseRefused(CnbError):
    """The application may not work on the new run image; whoever knows better can force it."""

    exit_code: ClassVar[int] = 72
    problems: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        """That it is refused; the facts say why."""
        return "the image is not rebased: the new run image may not fit it"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What speaks against it."""
        return self.problems

    @property
    def hint(self) -> str | None:
        """What to do."""
        return "choose another run image, build the application anew, or give `--force` where you know that it works"
