"""The config of an app image: what of the run image's stays, and what the lifecycle sets (platform.md, "Outputs" of the export phase)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import PurePosixPath

from lifecycle.cnb.api import PLATFORM_APIS
from lifecycle.cnb.environment import LayerEnvironment, launch_environment
from lifecycle.cnb.labels import REBASABLE_LABEL
from lifecycle.cnb.metadata import BuildMetadata
from lifecycle.errors import ExportError
from lifecycle.launcher import LAUNCHER_PATH, PROCESS_DIR
from lifecycle.oci.archive import FILE_TIME
from lifecycle.oci.config import ImageConfig

# What a shell assumes where an image says nothing; a run image has to say it (platform.md, "Run Image").
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def render_time(source_date_epoch: int | None) -> str:
    """Return the time that the config and the history say, by default that of every file (platform.md, "Reproducibility")."""
    seconds = FILE_TIME if source_date_epoch is None else source_date_epoch
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError, ValueError) as err:
        raise ExportError(message=f"SOURCE_DATE_EPOCH {seconds} is not a time") from err
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def base_environment(run_image: ImageConfig) -> Mapping[str, str]:
    """Return the environment that the layers add to."""
    return {"PATH": _DEFAULT_PATH, **run_image.environment()}


def app_environment(
    base: Mapping[str, str], layers: tuple[LayerEnvironment, ...], *, app: PurePosixPath, layers_dir: PurePosixPath
) -> Mapping[str, str]:
    """Return the environment of the app image: also processes that the launcher does not start find what the layers hold."""
    env = launch_environment(layers, base)
    return {
        **env,
        "PATH": f"{PROCESS_DIR}:{LAUNCHER_PATH.parent}:{env['PATH']}",
        "CNB_APP_DIR": str(app),
        "CNB_LAYERS_DIR": str(layers_dir),
        "CNB_PLATFORM_API": str(PLATFORM_APIS[-1]),
        "CNB_DEPRECATION_MODE": "quiet",
    }


def app_config(
    run_image: ImageConfig,
    *,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    entrypoint: PurePosixPath,
    working_dir: PurePosixPath,
    created: str,
) -> ImageConfig:
    """Return the config of the app image, without layers."""
    inherited = run_image.labels
    return replace(
        run_image,
        created=created,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        entrypoint=(str(entrypoint),),
        cmd=(),
        working_dir=str(working_dir),
        labels={REBASABLE_LABEL: "true", **inherited, **labels},
    )


def choose_entrypoint(build: BuildMetadata, process_type: str | None) -> PurePosixPath:
    """Return what the image starts: the process type that was asked for, or the buildpacks' default, or the launcher."""
    chosen = process_type or build.default_process
    if chosen is None:
        return LAUNCHER_PATH
    types = [process.type for process in build.processes]
    if chosen not in types:
        known = ", ".join(f"`{name}`" for name in types) or "none"
        raise ExportError(message=f"there is no process type `{chosen}`; the buildpacks declared: {known}")
    return PROCESS_DIR / chosen
