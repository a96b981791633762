"""The phases as programs of the build image: `/cnb/lifecycle/detector`, `builder`, and pybuild's own.

The name under which this is started chooses the phase, or else the first argument (`python -m lifecycle detector`). Everything
comes in through flags, `CNB_*` variables and files, and goes out through files (platform.md, "Detect" and "Build").

Two variables of pybuild's own name files for the process that started the phase: `PYBUILD_DETECTION_PATH` gets the detection
as JSON, also one that found nothing, with the groups after the one that fits; `PYBUILD_ERROR_PATH` gets the error that ended the
phase, which is then not on stderr: the process that started the phase shows it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NoReturn

from lifecycle import __version__
from lifecycle.build import BuildRequest, build
from lifecycle.cnb.analyzed import Analyzed, read_analyzed
from lifecycle.cnb.api import DEFAULT_EXEC_ENV, EXEC_ENV_PLATFORM_API, PLATFORM_APIS, ApiVersion
from lifecycle.cnb.environment import start_environment
from lifecycle.cnb.errors import CnbError, render_error
from lifecycle.cnb.group import read_group, write_group
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.order import System, read_order, read_system
from lifecycle.cnb.plan import read_resolved_plan, write_resolved_plan
from lifecycle.cnb.recipe import read_recipe
from lifecycle.cnb.target import Target, complete_target
from lifecycle.cnb.toml import write_atomically
from lifecycle.detect import DetectRequest, detect
from lifecycle.detection import render_detection
from lifecycle.errors import ArgumentsError, FileProblem, PlatformApiUnsupported
from lifecycle.execution.assignment import read_assignment
from lifecycle.execution.confinement import lock_mounts
from lifecycle.extend import ExtendRequest, extend
from lifecycle.fix import FixRequest, fix
from lifecycle.flags import Flag, Inputs, parse_flags
from lifecycle.generate import GenerateRequest, generate
from lifecycle.log import LOG_LEVELS, StreamLog
from lifecycle.programs import Surroundings

_COMMON_FLAGS = (
    Flag(name="analyzed", variable="CNB_ANALYZED_PATH", default="<layers>/analyzed.toml"),
    Flag(name="app", variable="CNB_APP_DIR", default="/workspace"),
    Flag(name="build-config", variable="CNB_BUILD_CONFIG_DIR", default="/cnb/build-config"),
    Flag(name="buildpacks", variable="CNB_BUILDPACKS_DIR", default="/cnb/buildpacks"),
    Flag(name="exec-env", variable="CNB_EXEC_ENV", default=DEFAULT_EXEC_ENV),
    Flag(name="group", variable="CNB_GROUP_PATH", default="<layers>/group.toml"),
    Flag(name="layers", variable="CNB_LAYERS_DIR", default="/layers"),
    Flag(name="log-level", variable="CNB_LOG_LEVEL", default="info"),
    Flag(name="no-color", variable="CNB_NO_COLOR", default="", is_switch=True),
    Flag(name="plan", variable="CNB_PLAN_PATH", default="<layers>/plan.toml"),
    Flag(name="platform", variable="CNB_PLATFORM_DIR", default="/platform"),
    Flag(name="version", variable="", default="", is_switch=True),
)
_GENERATED = Flag(name="generated", variable="CNB_GENERATED_DIR", default="<layers>/generated")
_DETECTOR_FLAGS = (
    *_COMMON_FLAGS,
    # Without a value: `<layers>/order.toml` if there is one, else the builder's.
    Flag(name="order", variable="CNB_ORDER_PATH", default=""),
    Flag(name="system", variable="CNB_SYSTEM_PATH", default="/cnb/system.toml"),
    # What platforms pass to a lifecycle with image extensions; without extensions they name nothing.
    Flag(name="extensions", variable="CNB_EXTENSIONS_DIR", default="/cnb/extensions"),
    _GENERATED,
    Flag(name="run", variable="CNB_RUN_PATH", default="/cnb/run.toml"),
)
_EXTENDER_FLAGS = (
    Flag(name="app", variable="CNB_APP_DIR", default="/workspace"),
    Flag(name="assignment", variable="", default="/platform/assignment.json"),
    Flag(name="images", variable="", default="/platform/images"),
    Flag(name="log-level", variable="CNB_LOG_LEVEL", default="info"),
    Flag(name="no-color", variable="CNB_NO_COLOR", default="", is_switch=True),
    # Whether commands have no network, for what is said when they fail.
    Flag(name="offline", variable="", default="", is_switch=True),
    Flag(name="output", variable="", default="/layers/output"),
    Flag(name="recipe", variable="", default="/platform/recipe.json"),
    Flag(name="scratch", variable="", default="/tmp"),  # noqa: S108 - the sandbox's own
    Flag(name="storage", variable="", default="/layers/storage"),
    Flag(name="version", variable="", default="", is_switch=True),
)

# As shells report a program that SIGINT ended.
_INTERRUPTED = 130

_BUILDER_ORDER = Path("/cnb/order.toml")
_OS_RELEASE = Path("/etc/os-release")


def main() -> NoReturn:
    """Run the phase that this process was started as, and exit with its code."""
    sys.exit(run_phase(sys.argv, os.environ))


def run_phase(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Return the exit code of the phase that `argv` names; what is wrong is on stderr."""
    try:
        api = _check_platform_api(env)
        program, arguments = _choose_program(argv)
        flags, run = _PROGRAMS[program]
        inputs = parse_flags(program, flags, arguments, env)
        if inputs.is_on("version"):
            sys.stdout.write(f"{__version__}\n")
            return 0
        if inputs.arguments:
            raise ArgumentsError(message=f"`{program}` takes no arguments, got `{' '.join(inputs.arguments)}`")
        run(inputs, api, env)
    except CnbError as error:
        return _report(error, env)
    except OSError as err:
        return _report(FileProblem(path=err.filename, reason=err.strerror or str(err)), env)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _check_platform_api(env: Mapping[str, str]) -> ApiVersion:
    # Before anything else, flags included: an unknown API may have other flags.
    requested = env.get("CNB_PLATFORM_API", "").strip()
    try:
        version = ApiVersion.parse(requested)
    except ValueError as err:
        raise PlatformApiUnsupported(requested=requested) from err
    if version not in PLATFORM_APIS:
        raise PlatformApiUnsupported(requested=requested)
    return version


def _choose_program(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    started_as = PurePath(argv[0]).name if argv else ""
    if started_as in _PROGRAMS:
        return started_as, argv[1:]
    if len(argv) > 1 and argv[1] in _PROGRAMS:
        return argv[1], argv[2:]
    known = ", ".join(f"`{name}`" for name in sorted(_PROGRAMS))
    raise ArgumentsError(message=f"no phase is named: it must be one of {known}")


def _run_detector(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    log = _make_log(inputs)
    wanted = env.get("PYBUILD_DETECTION_PATH")
    request = DetectRequest(
        order=read_order(_order_path(inputs)),
        buildpacks_dir=inputs.path("buildpacks"),
        surroundings=_make_surroundings(inputs),
        env=start_environment(env),
        system=_read_system(inputs.path("system"), api),
        platform_api=api,
        looks_further=bool(wanted),
    )
    detection = detect(request, log)
    if wanted:
        write_atomically(Path(wanted), render_detection(detection).encode())
    if detection.group is None:
        raise detection.error(app_dir=request.surroundings.app_dir)
    for element in detection.group.elements:
        log.info(f"{element.id} {element.version}")
    write_group(inputs.path("group"), detection.group)
    write_resolved_plan(inputs.path("plan"), detection.plan)


def _run_builder(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    request = BuildRequest(
        group=read_group(inputs.path("group")),
        plan=read_resolved_plan(inputs.path("plan")),
        layers_dir=inputs.path("layers"),
        buildpacks_dir=inputs.path("buildpacks"),
        surroundings=_make_surroundings(inputs),
        env=start_environment(env),
    )
    build(request, _make_log(inputs))


def _run_fixer(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    request = FixRequest(
        group=read_group(inputs.path("group")),
        buildpacks_dir=inputs.path("buildpacks"),
        surroundings=_make_surroundings(inputs),
        env=start_environment(env),
    )
    fix(request, _make_log(inputs))


def _run_generator(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    request = GenerateRequest(
        group=read_group(inputs.path("group")),
        plan=read_resolved_plan(inputs.path("plan")),
        buildpacks_dir=inputs.path("buildpacks"),
        generated_dir=inputs.path("generated"),
        surroundings=_make_surroundings(inputs),
        env=start_environment(env),
    )
    generate(request, _make_log(inputs))


def _run_extender(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    # Code of the application runs below it: what this process could change of its sandbox goes first.
    lock_mounts()
    request = ExtendRequest(
        recipe=read_recipe(inputs.path("recipe")),
        app_dir=inputs.path("app"),
        images_dir=inputs.path("images"),
        storage_dir=inputs.path("storage"),
        output_dir=inputs.path("output"),
        scratch_dir=inputs.path("scratch"),
        assignment=read_assignment(inputs.path("assignment")),
        env=env,
        network=not inputs.is_on("offline"),
    )
    extend(request, _make_log(inputs))


_PROGRAMS: Mapping[str, tuple[Sequence[Flag], Callable[[Inputs, ApiVersion, Mapping[str, str]], None]]] = {
    "detector": (_DETECTOR_FLAGS, _run_detector),
    "builder": (_COMMON_FLAGS, _run_builder),
    "fixer": (_COMMON_FLAGS, _run_fixer),
    "extender": (_EXTENDER_FLAGS, _run_extender),
    "generator": ((*_COMMON_FLAGS, _GENERATED), _run_generator),
}


def _make_log(inputs: Inputs) -> StreamLog:
    level = inputs.text("log-level").lower()
    if level not in LOG_LEVELS:
        raise ArgumentsError(message=f"log level `{level}` is not one of {', '.join(LOG_LEVELS)}")
    return StreamLog(level=level)


def _make_surroundings(inputs: Inputs) -> Surroundings:
    path = inputs.path("analyzed")
    run_image = (read_analyzed(path) if path.exists() else Analyzed()).run_image
    return Surroundings(
        app_dir=inputs.path("app"),
        platform_dir=inputs.path("platform"),
        build_config_dir=inputs.path("build-config"),
        target=complete_target(Target() if run_image is None else run_image.target, os_release=_OS_RELEASE),
        exec_env=inputs.text("exec-env"),
    )


def _order_path(inputs: Inputs) -> Path:
    if inputs.text("order"):
        return inputs.path("order")
    own = inputs.path("layers") / "order.toml"
    return own if own.exists() else _BUILDER_ORDER


def _read_system(path: Path, api: ApiVersion) -> System:
    return read_system(path) if api >= EXEC_ENV_PLATFORM_API and path.exists() else System()


def _report(error: CnbError, env: Mapping[str, str]) -> int:
    wanted = env.get("PYBUILD_ERROR_PATH")
    if not wanted or not _write_error(Path(wanted), error):
        sys.stderr.buffer.write(f"{render_error(error)}\n".encode("utf-8", "backslashreplace"))
    return error.exit_code


def _write_error(path: Path, error: CnbError) -> bool:
    """Return whether the error is where the process that started the phase will look for it."""
    values = {
        "exit-code": error.exit_code,
        "summary": error.summary,
        "facts": [{"label": label, "value": value} for label, value in error.facts],
        "hint": error.hint,
    }
    try:
        write_atomically(path, render_json(values).encode("utf-8", "backslashreplace"))
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
