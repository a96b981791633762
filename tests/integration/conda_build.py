"""Builds of conda repositories with the test channel in the place of conda-forge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.builds import Builds
from tests.integration.command import Pybuild
from tests.integration.conda_channel import CONDA_FORGE, DEFAULTS, SMUGGLED
from tests.integration.conda_server import ChannelServer
from tests.integration.image_files import LayoutImage, iterate_files

PREFIX = "/layers/pybuild_conda/env/conda"
"""Where the environment is in every image."""
PUBLIC = f"https://conda.anaconda.org/{CONDA_FORGE}"
"""What `conda-forge` means where nobody says otherwise."""
_OF_THE_MACHINE = (
    *("CONDARC", "CONDA_CHANNEL_ALIAS", "CONDA_SSL_VERIFY", "PIXI_HOME", "RATTLER_AUTH_FILE", "XDG_CONFIG_HOME"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaBuilds(Builds):
    """Builds with a server that stands for conda-forge."""

    server: ChannelServer


def as_mirror(server: ChannelServer, channel: str = CONDA_FORGE) -> dict[str, str]:
    """Settings that fetch conda-forge from a channel of the server."""
    return {"BP_CONDA_MIRRORS": f"{PUBLIC}={server.url}/{channel}"}


def open_channels(channels: Path) -> ChannelServer:
    """A server of the machine's channels, which runs as long as its context."""
    return ChannelServer({name: channels / name for name in (CONDA_FORGE, DEFAULTS, SMUGGLED)})


def conda_builds(pybuild: Pybuild, server: ChannelServer, directory: Path) -> CondaBuilds:
    """Builds with the server's channel in the place of conda-forge.

    What the machine's own configuration says of channels does not count: there is another home directory, made in `directory`.
    """
    (directory / "home").mkdir()
    changes = {**dict.fromkeys(_OF_THE_MACHINE), "HOME": str(directory / "home")}
    return CondaBuilds(
        pybuild=pybuild.with_env(**changes), server=server, directory=directory, settings=as_mirror(server)
    )


def write_environment(
    directory: Path,
    dependencies: Sequence[str],
    *,
    pip: Sequence[str] = (),
    channels: Sequence[str] = ("conda-forge", "nodefaults"),
) -> Path:
    """A repository with an environment.yml, made or changed; returns `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["channels:", *(f"  - {channel}" for channel in channels), "dependencies:"]
    lines += [f"  - {dependency}" for dependency in dependencies]
    if pip:
        lines += ["  - pip:", *(f"      - {requirement}" for requirement in pip)]
    (directory / "environment.yml").write_text("\n".join(lines) + "\n")
    return directory


def environment_layer(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The layer with the conda prefix."""
    (found,) = [layer for layer in report["layers"] if "conda" in layer["name"] and layer["name"].endswith("env")]
    return dict(found)


def image_files(image: LayoutImage) -> dict[str, bytes]:
    """The content of each file of the environment, by its path in the prefix."""
    root = f"{PREFIX.lstrip('/')}/"
    return {file.name.removeprefix(root): file.content for file in iterate_files(image) if file.name.startswith(root)}
