"""The part of the kit that `bin/detect` is written with. `lifecycle.cnb.kit` has it as well, with all the rest.

Every build starts this program of every buildpack, so what it loads is what it needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lifecycle.cnb.errors import CnbError, render_error
from lifecycle.cnb.plan import BuildPlan, Requirement, write_build_plan
from lifecycle.cnb.target import Target

__all__ = [
    "BuildPlan",
    "BuildpackError",
    "DetectContext",
    "NotDetected",
    "Requirement",
    "Target",
    "fail",
    "optional_path",
    "own_directory",
    "read_target",
    "required_path",
    "run_detect",
    "say",
]

# buildpack.md, "Detection": the exit status that means "not for me"
_NOT_DETECTED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectContext:
    """What a detect function is given. `env` holds the user's and the operator's variables."""

    app_dir: Path
    platform_dir: Path
    buildpack_dir: Path
    env: Mapping[str, str]
    target: Target

    def say(self, line: str) -> None:
        """Write one line to stdout; it is shown when detection fails or is asked for in detail."""
        say(line)


class BuildpackError(CnbError):
    """A buildpack cannot do its work, and knows why. Subclasses derive their text from typed fields."""

    exit_code: ClassVar[int] = 1


class NotDetected(Exception):
    """Raised by a detect function: the application is not for this buildpack. The reason is one line for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def run_detect(detect: Callable[[DetectContext], BuildPlan]) -> int:
    """Return the exit status of `bin/detect` after `detect` answered: 0, 100 (not for this buildpack) or 1 (a foreseen
    problem, shown on stderr). What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        context = DetectContext(
            app_dir=Path.cwd(),
            platform_dir=required_path(env, "CNB_PLATFORM_DIR"),
            buildpack_dir=own_directory(env),
            env=env,
            target=read_target(env),
        )
        write_build_plan(required_path(env, "CNB_BUILD_PLAN_PATH"), detect(context))
    except NotDetected as answer:
        say(answer.reason)
        return _NOT_DETECTED
    except CnbError as error:
        return fail(error)
    return 0


def read_target(env: Mapping[str, str]) -> Target:
    """Return what the image is made for, as the lifecycle says it."""
    return Target(
        os=env.get("CNB_TARGET_OS") or None,
        arch=env.get("CNB_TARGET_ARCH") or None,
        variant=env.get("CNB_TARGET_ARCH_VARIANT") or None,
        distro_name=env.get("CNB_TARGET_DISTRO_NAME") or None,
        distro_version=env.get("CNB_TARGET_DISTRO_VERSION") or None,
    )


@dataclass(eq=False, kw_only=True)
class _NotStartedByLifecycle(BuildpackError):
    variable: str

    @property
    def summary(self) -> str:
        return f"`{self.variable}` is not set: a buildpack's programs are started by a lifecycle"


def required_path(env: Mapping[str, str], variable: str) -> Path:
    """Return the path in a variable that every lifecycle sets."""
    value = env.get(variable)
    if not value:
        raise _NotStartedByLifecycle(variable=variable)
    return Path(value)


def own_directory(env: Mapping[str, str]) -> Path:
    """Return the directory of the buildpack."""
    # Where a lifecycle runs it as an image extension, the directory has another name (image_extension.md).
    return optional_path(env, "CNB_EXTENSION_DIR") or required_path(env, "CNB_BUILDPACK_DIR")


def optional_path(env: Mapping[str, str], variable: str) -> Path | None:
    """Return the path in a variable, where it is set."""
    value = env.get(variable)
    return Path(value) if value else None


def fail(error: CnbError) -> int:
    """Show a foreseen problem on stderr; return the exit status that says so."""
    sys.stderr.write(f"{render_error(error)}\n")
    return 1


def say(line: str) -> None:
    """Write one line to stdout."""
    # One write a line: concurrent buildpacks and their tools share the stream. Any text goes, whatever the locale.
    sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
