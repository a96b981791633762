"""What a Python buildpack is written with: `bin/detect` calls `run_detect`, `bin/build` calls `run_build`, `bin/fix` `run_fix`.

The functions given to them get a context and return a value; reading and writing the files of the contract, the exit codes
and the rendering of errors happen here (buildpack.md, "Detection" and "Build").

    def detect(context: DetectContext) -> BuildPlan: ...        sys.exit(run_detect(detect))
    def build(context: BuildContext) -> BuildResult: ...        sys.exit(run_build(build))
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from lifecycle.cnb.context import (
    BuildContext,
    BuildResult,
    FixContext,
    GenerateContext,
    Layer,
    RestoredLayer,
    write_layer,
)
from lifecycle.cnb.detecting import (
    BuildpackError,
    DetectContext,
    NotDetected,
    fail,
    optional_path,
    own_directory,
    read_target,
    required_path,
    run_detect,
)
from lifecycle.cnb.errors import CnbError, ConfigurationError
from lifecycle.cnb.failure import own_failure_path, write_failure
from lifecycle.cnb.launch import Label, LaunchFile, Process, Slice, write_launch_file, write_unmet
from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.locks import write_locks
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.plan import BuildPlan, PlanEntry, Requirement, read_buildpack_plan
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


def run_build(build: Callable[[BuildContext], BuildResult]) -> int:
    """Return the exit status of `bin/build` after `build` did its work and its result was written: 0, or 1 for a foreseen
    problem, shown on stderr and left for the platform. What was not foreseen is raised.
    """
    env, failure = dict(os.environ), None
    try:
        layers_dir = required_path(env, "CNB_LAYERS_DIR")
        failure = own_failure_path(layers_dir)
        failure.unlink(missing_ok=True)
        context = BuildContext(
            app_dir=Path.cwd(),
            layers_dir=layers_dir,
            platform_dir=required_path(env, "CNB_PLATFORM_DIR"),
            buildpack_dir=required_path(env, "CNB_BUILDPACK_DIR"),
            env=env,
            target=read_target(env),
            plan=read_buildpack_plan(required_path(env, "CNB_BP_PLAN_PATH")),
            store=_read_store(layers_dir / "store.toml"),
        )
        _write_result(layers_dir, build(context))
    except CnbError as error:
        # Where the disk is full, what is shown has to do.
        with contextlib.suppress(OSError):
            if failure is not None:
                write_failure(failure, error)
        return fail(error)
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
                platform_dir=required_path(env, "CNB_PLATFORM_DIR"),
                buildpack_dir=required_path(env, "CNB_BUILDPACK_DIR"),
                env=env,
                target=read_target(env),
            )
        )
    except CnbError as error:
        return fail(error)
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
                platform_dir=required_path(env, "CNB_PLATFORM_DIR"),
                buildpack_dir=own_directory(env),
                env=env,
                target=read_target(env),
                output_dir=required_path(env, "CNB_OUTPUT_DIR"),
                recipe_path=optional_path(env, "PYBUILD_RECIPE_PATH"),
                images_path=optional_path(env, "PYBUILD_IMAGES_PATH"),
                whole_image=env.get("PYBUILD_WHOLE_IMAGE", "true") != "false",
            )
        )
    except CnbError as error:
        return fail(error)
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
