"""`launcher`: starts a process of what was built (platform.md, "launcher"), in the build image itself.

An image gets a launcher of its own when it is exported. What that one would be for the layers as they are now is started here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NoReturn

from lifecycle.cnb.api import BUILDPACK_APIS, ApiVersion
from lifecycle.cnb.environment import LayerEnvironment, read_layer_environment
from lifecycle.cnb.layer import is_layer_name, is_real_directory
from lifecycle.cnb.metadata import BuildMetadata, read_build_metadata
from lifecycle.commands.failing import failing_with
from lifecycle.errors import BuildpackApiUnsupported
from lifecycle.flags import Flag, Inputs
from lifecycle.launcher import LAUNCHER_PATH, PROCESS_DIR, Launch, render_launcher

CODE = 82
FLAGS: tuple[Flag, ...] = ()
_OWN_DIRECTORIES = frozenset({str(PROCESS_DIR), str(LAUNCHER_PATH.parent)})


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> NoReturn:
    """Become the process. The first argument is what this program was started as."""
    layers_dir = Path(env.get("CNB_LAYERS_DIR") or "/layers").absolute()
    with failing_with(CODE):
        metadata = read_build_metadata(layers_dir / "config" / "metadata.toml")
        for element in metadata.buildpacks:
            if element.api not in BUILDPACK_APIS:
                raise BuildpackApiUnsupported(buildpack=str(element), requested=element.api)
        path = env.get("PATH", "").split(":")
        base = {**env, "PATH": ":".join(part for part in path if part not in _OWN_DIRECTORIES)}
        launch = Launch(
            processes=metadata.processes,
            layers=tuple(_read_layers(layers_dir, metadata)),
            base=base,
            exported=base,
            app_dir=PurePosixPath(env.get("CNB_APP_DIR") or "/workspace"),
        )
        script = os.fsdecode(render_launcher(launch))
        # With `-c`, the shell calls itself as this program was called, which is how it knows the type of the process.
        os.execve("/bin/sh", ["sh", "-c", script, *inputs.arguments], dict(env))  # noqa: S606 - the rendered program


def _read_layers(layers_dir: Path, metadata: BuildMetadata) -> Iterator[LayerEnvironment]:
    for element in metadata.buildpacks:
        own = layers_dir / element.id.directory_name
        for path in sorted(own.iterdir()) if is_real_directory(own) else ():
            if is_layer_name(path.name) and is_real_directory(path):
                yield read_layer_environment(path, buildpack=element.id, name=path.name, path=PurePosixPath(path))
