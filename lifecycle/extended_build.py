"""The build phase in an extended build image: the `builder` of that image, as the user that builds (platform.md, "extender")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.environment import start_environment
from lifecycle.execution.errors import ExtendedBuildFailed
from lifecycle.extend import Extended

_PROGRAM = "/cnb/lifecycle/builder"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderCall:
    """What the program is told. `directories` are shown to it under their own names."""

    arguments: Mapping[str, str]
    app_dir: Path
    directories: tuple[Path, ...]
    user: str
    platform_api: ApiVersion
    env: Mapping[str, str]


def run_builder(extended: Extended, call: BuilderCall) -> None:
    """Run the program, which writes to where this process does. Its environment is that of the image.

    Raises:
        ExtendedBuildFailed: it ended with another status than 0.
        ExtendError: it could not be started.
    """
    buildah = extended.buildah
    container = buildah.run("from", "--pull-never", *buildah.policy(), extended.stored).output.strip()
    try:
        env = {**_proxies(call.env), "CNB_PLATFORM_API": str(call.platform_api)}
        options = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        for directory in call.directories:
            if directory.exists():
                options += ["--volume", f"{directory}:{directory}"]
        arguments = [word for name, value in call.arguments.items() if value for word in (f"-{name}", value)]
        command = ("--isolation", "chroot", "--user", call.user, "--workingdir", str(call.app_dir), *options)
        status = buildah.run_attached("run", *command, container, "--", _PROGRAM, *arguments)
    finally:
        buildah.run("rm", container)
    if status != 0:
        raise ExtendedBuildFailed(status)


def _proxies(env: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in start_environment(env).items() if name.lower().endswith("_proxy")}
