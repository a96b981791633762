"""Starting a buildpack's programs: what they are given, and what their end means (buildpack.md, "Buildpack Interface")."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifecycle.cnb.api import DEFAULT_EXEC_ENV, EXEC_ENV_BUILDPACK_API
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.command import CommandNotStarted, CommandResult, run_command
from lifecycle.cnb.environment import read_env_files, with_build_config, with_platform_environment
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.plan import BuildPlan, PlanEntry, read_build_plan, write_buildpack_plan
from lifecycle.cnb.target import Target
from lifecycle.detection import Outcome
from lifecycle.errors import BuildpackFailed, GenerateFailed

_PASSED, _NOT_FOR_IT = 0, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every buildpack of a build is given."""

    app_dir: Path
    platform_dir: Path
    build_config_dir: Path
    target: Target
    exec_env: str = DEFAULT_EXEC_ENV


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a `bin/detect` said. `plan` is there when it passed; `reason` is its last line, or what was wrong; `output` is all."""

    outcome: Outcome
    output: str
    plan: BuildPlan | None = None
    reason: str | None = None


def run_detect_program(descriptor: Descriptor, surroundings: Surroundings, env: Mapping[str, str]) -> Answer:
    """Return the answer of the buildpack's `bin/detect`. An unusable plan or a program that does not start is an answer too."""
    if descriptor.is_extension and not has_program(descriptor, "detect"):
        # image_extension.md, "Detection": it passes, and its plan is the one that it brings.
        return _static_answer(descriptor)
    with tempfile.TemporaryDirectory(prefix="plan-") as directory:
        plan_path = Path(directory, "plan.toml")
        plan_path.touch()
        argv = [str(descriptor.directory / "bin" / "detect"), str(surroundings.platform_dir), str(plan_path)]
        own_env = program_environment(descriptor, surroundings, env, {"CNB_BUILD_PLAN_PATH": str(plan_path)})
        try:
            result = run_command(argv, env=own_env, cwd=surroundings.app_dir)
        except CommandNotStarted as err:
            return Answer(outcome=Outcome.ERRORED, output="", reason=err.summary)
        if result.status != _PASSED:
            return _refusal(result)
        try:
            plan = _read_plan(descriptor, plan_path)
            return Answer(outcome=Outcome.PASSED, output=result.output, plan=plan, reason=_last_line(result.output))
        except ConfigurationError as err:
            reason = f"wrote a plan that cannot be used: {err.message}"
            return Answer(outcome=Outcome.ERRORED, output=result.output, reason=reason)


def _static_answer(descriptor: Descriptor) -> Answer:
    path = descriptor.directory / "detect" / "plan.toml"
    try:
        plan = _read_plan(descriptor, path) if path.exists() else BuildPlan()
    except ConfigurationError as err:
        reason = f"has a plan that cannot be used: {err.message}"
        return Answer(outcome=Outcome.ERRORED, output="", reason=reason)
    return Answer(outcome=Outcome.PASSED, output="", plan=plan)


def _read_plan(descriptor: Descriptor, path: Path) -> BuildPlan:
    plan = read_build_plan(path)
    required = next((one.name for part in (plan, *plan.alternatives) for one in part.requires), None)
    if descriptor.is_extension and required is not None:
        raise ConfigurationError(path, f"it requires `{required}`, but an image extension may only provide")
    return plan


def run_build_program(
    descriptor: Descriptor,
    surroundings: Surroundings,
    env: Mapping[str, str],
    *,
    layers_dir: Path,
    plan: tuple[PlanEntry, ...],
    on_line: Callable[[str], None],
) -> None:
    """Run the buildpack's `bin/build` with `layers_dir` as its own directory of layers. Raises `BuildpackFailed`."""
    with tempfile.TemporaryDirectory(prefix="plan-") as directory:
        plan_path = Path(directory, "plan.toml")
        write_buildpack_plan(plan_path, plan)
        own = {"CNB_BP_PLAN_PATH": str(plan_path), "CNB_LAYERS_DIR": str(layers_dir)}
        program = descriptor.directory / "bin" / "build"
        argv = [str(program), str(layers_dir), str(surroundings.platform_dir), str(plan_path)]
        own_env = program_environment(descriptor, surroundings, env, own)
        _run("build", descriptor, argv, own_env, surroundings.app_dir, on_line)


def has_program(descriptor: Descriptor, name: str) -> bool:
    """Return whether the buildpack has `bin/<name>`: not every one has a `fix` or a `generate`, which are pybuild's own there."""
    return (descriptor.directory / "bin" / name).is_file()


def run_fix_program(
    descriptor: Descriptor, surroundings: Surroundings, env: Mapping[str, str], *, on_line: Callable[[str], None]
) -> None:
    """Run the buildpack's `bin/fix` in the application directory. Raises `BuildpackFailed`."""
    argv = [str(descriptor.directory / "bin" / "fix"), str(surroundings.platform_dir)]
    own_env = program_environment(descriptor, surroundings, env, {})
    _run("fix", descriptor, argv, own_env, surroundings.app_dir, on_line)


def run_generate_program(
    descriptor: Descriptor,
    surroundings: Surroundings,
    env: Mapping[str, str],
    own: Mapping[str, str],
    *,
    output_dir: Path,
    plan: tuple[PlanEntry, ...],
    on_line: Callable[[str], None],
) -> None:
    """Run `bin/generate` in the application directory (image_extension.md, "Generation"); `own` are variables for it alone.

    Raises `GenerateFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="plan-") as directory:
        plan_path = Path(directory, "plan.toml")
        write_buildpack_plan(plan_path, plan)
        outputs = {"CNB_BP_PLAN_PATH": str(plan_path), "CNB_OUTPUT_DIR": str(output_dir), **own}
        program = descriptor.directory / "bin" / "generate"
        argv = [str(program), str(output_dir), str(surroundings.platform_dir), str(plan_path)]
        own_env = program_environment(descriptor, surroundings, env, outputs)
        _run("generate", descriptor, argv, own_env, surroundings.app_dir, on_line)


def _run(
    program: Literal["build", "fix", "generate"],
    descriptor: Descriptor,
    argv: Sequence[str],
    env: Mapping[str, str],
    app_dir: Path,
    on_line: Callable[[str], None],
) -> None:
    try:
        status = run_command(argv, env=env, cwd=app_dir, on_line=on_line).status
    except CommandNotStarted as err:
        raise _failure(program, descriptor, None, reason=f"could not be started: {err.reason}") from err
    if status != _PASSED:
        raise _failure(program, descriptor, status)


def _failure(
    program: Literal["build", "fix", "generate"],
    descriptor: Descriptor,
    status: int | None,
    *,
    reason: str | None = None,
) -> BuildpackFailed:
    failed = GenerateFailed if program == "generate" else BuildpackFailed
    return failed(
        buildpack=descriptor.id,
        version=descriptor.version,
        status=status,
        reason=reason,
        program=program,
        kind="extension" if descriptor.is_extension else "buildpack",
    )


def program_environment(
    descriptor: Descriptor, surroundings: Surroundings, env: Mapping[str, str], own: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the environment of one execution: `env` (the lifecycle's, as earlier buildpacks changed it), then the user's
    variables, the operator's, and the lifecycle's own, each winning over those before.
    """
    if not descriptor.clear_env:
        env = with_platform_environment(env, read_env_files(surroundings.platform_dir / "env", follow_links=True))
    env = with_build_config(env, read_env_files(surroundings.build_config_dir / "env", follow_links=True))
    target = surroundings.target
    lifecycle = {
        "CNB_EXTENSION_DIR" if descriptor.is_extension else "CNB_BUILDPACK_DIR": str(descriptor.directory),
        "CNB_PLATFORM_DIR": str(surroundings.platform_dir),
        "CNB_TARGET_OS": target.os or "",
        "CNB_TARGET_ARCH": target.arch or "",
        **own,
    }
    optional = {
        "CNB_TARGET_ARCH_VARIANT": target.variant,
        "CNB_TARGET_DISTRO_NAME": target.distro_name,
        "CNB_TARGET_DISTRO_VERSION": target.distro_version,
        "CNB_EXEC_ENV": surroundings.exec_env if descriptor.api >= EXEC_ENV_BUILDPACK_API else None,
    }
    # A user's file must not fill in for what the lifecycle leaves out on purpose.
    reserved = {**lifecycle, **{name: value for name, value in optional.items() if value}}
    return {name: value for name, value in env.items() if name not in optional} | reserved


def _refusal(result: CommandResult) -> Answer:
    said = _last_line(result.output)
    if result.status == _NOT_FOR_IT:
        return Answer(outcome=Outcome.FAILED, output=result.output, reason=said or "does not say why")
    ended = f"`bin/detect` exited with status {result.status}"
    return Answer(outcome=Outcome.ERRORED, output=result.output, reason=f"{ended}: {said}" if said else ended)


def _last_line(output: str) -> str | None:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else None
