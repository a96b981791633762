"""What a Python buildpack is written with: `bin/detect` calls `run_detect`, `bin/build` calls `run_build`, `bin/fix` `run_fix`.

The functions given to them get a context and return a value; reading and writing the files of the contract, the exit codes
and the rendering of errors happen here (buildpack.md, "Detection" and "Build").

    def detect(context: DetectContext) -> BuildPlan: ...        sys.exit(run_detect(detect))
    def build(context: BuildContext) -> BuildResult: ...        sys.exit(run_build(build))
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lifecycle.cnb.context import (
    BuildContext,
    BuildResult,
    DetectContext,
    FixContext,
    GenerateContext,
    Layer,
    RestoredLayer,
    say,
    write_layer,
)
from lifecycle.cnb.errors import CnbError, ConfigurationError, render_error
from lifecycle.cnb.launch import Label, LaunchFile, Process, Slice, write_launch_file, write_unmet
from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.locks import write_locks
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.plan import BuildPlan, PlanEntry, Requirement, read_buildpack_plan, write_build_plan
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import read_table, write_toml

__all__ = [
    "BuildContext",
    "BuildPlan",
    "BuildResult",
    "BuildpackError",
    "ConfigurationError",
    "DetectContext",
    "FixContext",
    "GenerateContext",
    "Label",
    "Layer",
    "LayerTypes",
    "NotDetected",
    "PlanEntry",
    "Process",
    "Requirement",
    "RestoredLayer",
    "Slice",
    "Target",
    "mask_credentials",
    "run_build",
    "run_detect",
    "run_fix",
    "run_generate",
]

# buildpack.md, "Detection": the exit status that means "not for me"
_NOT_DETECTED = 100


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
            platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
            buildpack_dir=_own_directory(env),
            env=env,
            target=_target(env),
        )
        write_build_plan(_required_path(env, "CNB_BUILD_PLAN_PATH"), detect(context))
    except NotDetected as answer:
        say(answer.reason)
        return _NOT_DETECTED
    except CnbError as error:
        return _fail(error)
    return 0


def run_build(build: Callable[[BuildContext], BuildResult]) -> int:
    """Return the exit status of `bin/build` after `build` did its work and its result was written: 0, or 1 for a foreseen
    problem, shown on stderr. What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        layers_dir = _required_path(env, "CNB_LAYERS_DIR")
        context = BuildContext(
            app_dir=Path.cwd(),
            layers_dir=layers_dir,
            platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
            buildpack_dir=_required_path(env, "CNB_BUILDPACK_DIR"),
            env=env,
            target=_target(env),
            plan=read_buildpack_plan(_required_path(env, "CNB_BP_PLAN_PATH")),
            store=_read_store(layers_dir / "store.toml"),
        )
        _write_result(layers_dir, build(context))
    except CnbError as error:
        return _fail(error)
    return 0


def run_fix(fix: Callable[[FixContext], None]) -> int:
    """Return the exit status of `bin/fix`, pybuild's own, after `fix` wrote the files as they should be: 0, also when there was
    nothing to do, or 1 for a foreseen problem, shown on stderr. What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        fix(
            FixContext(
                app_dir=Path.cwd(),
                platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
                buildpack_dir=_required_path(env, "CNB_BUILDPACK_DIR"),
                env=env,
                target=_target(env),
            )
        )
    except CnbError as error:
        return _fail(error)
    return 0


def run_generate(generate: Callable[[GenerateContext], None]) -> int:
    """Return the exit status of `bin/generate` after `generate` wrote how the image is made (image_extension.md, "Generation"): 0,
    or 1 for a foreseen problem, shown on stderr. What was not foreseen is raised.
    """
    env = dict(os.environ)
    try:
        generate(
            GenerateContext(
                app_dir=Path.cwd(),
                platform_dir=_required_path(env, "CNB_PLATFORM_DIR"),
                buildpack_dir=_own_directory(env),
                env=env,
                target=_target(env),
                output_dir=_required_path(env, "CNB_OUTPUT_DIR"),
                recipe_path=_optional_path(env, "PYBUILD_RECIPE_PATH"),
                images_path=_optional_path(env, "PYBUILD_IMAGES_PATH"),
                whole_image=env.get("PYBUILD_WHOLE_IMAGE", "true") != "false",
            )
        )
    except CnbError as error:
        return _fail(error)
    return 0


def _write_result(layers_dir: Path, result: BuildResult) -> None:
    for layer in result.layers:
        write_layer(layers_dir, layer)
    write_launch_file(
        layers_dir / "launch.toml",
        LaunchFile(processes=result.processes, labels=result.labels, slices=result.slices),
    )
    write_unmet(layers_dir / "build.toml", result.unmet)
    write_locks(layers_dir, result.locks)
    if result.store is not None:
        write_toml(layers_dir / "store.toml", {"metadata": result.store})


def _read_store(path: Path) -> Mapping[str, object]:
    return read_table(path).table("metadata").values if path.exists() else {}


def _target(env: Mapping[str, str]) -> Target:
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


def _required_path(env: Mapping[str, str], variable: str) -> Path:
    value = env.get(variable)
    if not value:
        raise _NotStartedByLifecycle(variable=variable)
    return Path(value)


def _own_directory(env: Mapping[str, str]) -> Path:
    # Where a lifecycle runs it as an image extension, the directory has another name (image_extension.md).
    return _optional_path(env, "CNB_EXTENSION_DIR") or _required_path(env, "CNB_BUILDPACK_DIR")


def _optional_path(env: Mapping[str, str], variable: str) -> Path | None:
    value = env.get(variable)
    return Path(value) if value else None


def _fail(error: CnbError) -> int:
    sys.stderr.write(f"{render_error(error)}\n")
    return 1
