"""What several programs read from their command line and their environment in the same way (platform.md, "Operations")."""

from __future__ import annotations

from pathlib import Path

from lifecycle.cnb.analyzed import Analyzed, read_analyzed
from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.target import Target, complete_target
from lifecycle.errors import ArgumentsError
from lifecycle.flags import Flag, Inputs
from lifecycle.log import LOG_LEVELS, StreamLog
from lifecycle.programs import Surroundings

_OS_RELEASE = Path("/etc/os-release")

ANALYZED = Flag(name="analyzed", variable="CNB_ANALYZED_PATH", default="<layers>/analyzed.toml")
APP = Flag(name="app", variable="CNB_APP_DIR", default="/workspace")
BUILD_CONFIG = Flag(name="build-config", variable="CNB_BUILD_CONFIG_DIR", default="/cnb/build-config")
BUILDPACKS = Flag(name="buildpacks", variable="CNB_BUILDPACKS_DIR", default="/cnb/buildpacks")
EXEC_ENV = Flag(name="exec-env", variable="CNB_EXEC_ENV", default=DEFAULT_EXEC_ENV)
EXTENDED = Flag(name="extended", variable="CNB_EXTENDED_DIR", default="<layers>/extended")
GENERATED = Flag(name="generated", variable="CNB_GENERATED_DIR", default="<layers>/generated")
GROUP = Flag(name="group", variable="CNB_GROUP_PATH", default="<layers>/group.toml")
LAYERS = Flag(name="layers", variable="CNB_LAYERS_DIR", default="/layers")
PLAN = Flag(name="plan", variable="CNB_PLAN_PATH", default="<layers>/plan.toml")
PLATFORM = Flag(name="platform", variable="CNB_PLATFORM_DIR", default="/platform")

LOGGING = (
    Flag(name="log-level", variable="CNB_LOG_LEVEL", default="info"),
    # There never is any.
    Flag(name="no-color", variable="CNB_NO_COLOR", default="", is_switch=True),
    Flag(name="version", variable="", default="", is_switch=True),
)
# Of every program that starts programs of buildpacks.
EXECUTION = (*LOGGING, ANALYZED, APP, BUILD_CONFIG, BUILDPACKS, EXEC_ENV, GROUP, LAYERS, PLAN, PLATFORM)


def open_log(inputs: Inputs) -> StreamLog:
    """Return where the program says what it does. Raises `ArgumentsError`."""
    level = inputs.text("log-level").lower()
    if level not in LOG_LEVELS:
        raise ArgumentsError(message=f"log level `{level}` is not one of {', '.join(LOG_LEVELS)}")
    return StreamLog(level=level)


def read_surroundings(inputs: Inputs) -> Surroundings:
    """Return what every buildpack is given. Raises `ConfigurationError`."""
    path = inputs.path("analyzed")
    run_image = (read_analyzed(path) if path.exists() else Analyzed()).run_image
    return Surroundings(
        app_dir=inputs.path("app"),
        platform_dir=inputs.path("platform"),
        build_config_dir=inputs.path("build-config"),
        target=complete_target(Target() if run_image is None else run_image.target, os_release=_OS_RELEASE),
        exec_env=inputs.text("exec-env"),
    )
