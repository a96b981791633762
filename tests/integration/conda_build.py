"""Builds of conda repositories with the test channel in the place of conda-forge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.integration.command import Finished, Pybuild, expect_error, expect_success
from tests.integration.conda_channel import CONDA_FORGE
from tests.integration.conda_server import ChannelServer
from tests.integration.data_science import build_with_report
from tests.integration.image_files import LayoutImage, iterate_files, read_layout

PREFIX = "/layers/pybuild_conda/env/conda"
"""Where the environment is in every image."""
PUBLIC = f"https://conda.anaconda.org/{CONDA_FORGE}"
"""What `conda-forge` means where nobody says otherwise."""
BUILDPACK_FAILED = 51


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaBuilds:
    """The command, the server that stands for conda-forge, and a place for what builds leave."""

    pybuild: Pybuild
    server: ChannelServer
    directory: Path
    settings: Mapping[str, str]
    """`BP_*` variables."""

    @property
    def layout(self) -> Path:
        """Where builds put their image."""
        return self.directory / "layout"

    @property
    def output(self) -> str:
        """The same as an image name."""
        return f"oci:{self.layout}"

    @property
    def image(self) -> LayoutImage:
        """The image of the last build."""
        return read_layout(self.layout)

    def with_settings(self, **changes: str | None) -> CondaBuilds:
        """With other `BP_*` variables; None removes one."""
        merged = {**self.settings, **changes}
        return replace(self, settings={name: value for name, value in merged.items() if value is not None})

    def start(self, repository: Path, *arguments: str | Path) -> Finished:
        """How a build ended, well or not."""
        return self.pybuild("build", repository, "--output", self.output, *self.options(), *arguments)

    def build(self, repository: Path, *arguments: str | Path) -> tuple[Finished, Mapping[str, Any]]:
        """A build that must succeed: how it ended, and its report."""
        report = self.directory / "report.json"
        return build_with_report(self.pybuild, repository, report, "--output", self.output, *self.options(), *arguments)

    def fail(self, repository: Path, *mentions: str) -> str:
        """The error message of a build that must fail in the buildpack, mention `mentions`, and leave no image."""
        message = expect_error(self.start(repository), BUILDPACK_FAILED, *mentions)
        assert not self.layout.exists()
        return message

    def run(self, *command: str) -> str:
        """Standard output of a command in the image of the last build."""
        return expect_success(self.pybuild("run", self.output, "--", *command)).stdout.strip()

    def options(self) -> list[str]:
        """Arguments that set the variables."""
        return [word for name, value in self.settings.items() for word in ("--env", f"{name}={value}")]


def as_mirror(server: ChannelServer, channel: str = CONDA_FORGE) -> dict[str, str]:
    """Settings that fetch conda-forge from a channel of the server."""
    return {"BP_CONDA_MIRRORS": f"{PUBLIC}={server.url}/{channel}"}


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


def layer_digests(report: Mapping[str, Any]) -> dict[str, str]:
    """For each layer's name its diff ID."""
    return {layer["name"]: layer["diffID"] for layer in report["layers"]}


def environment_layer(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The layer with the conda prefix."""
    (found,) = [layer for layer in report["layers"] if "conda" in layer["name"] and layer["name"].endswith("env")]
    return dict(found)


def image_files(image: LayoutImage) -> dict[str, bytes]:
    """The content of each file of the environment, by its path in the prefix."""
    root = f"{PREFIX.lstrip('/')}/"
    return {file.name.removeprefix(root): file.content for file in iterate_files(image) if file.name.startswith(root)}


def files_that_hold(pybuild: Pybuild, image: LayoutImage, *secrets: str) -> list[str]:
    """Files of an image, of its config and of the store's applications that hold one of `secrets`."""
    needles = [secret.encode() for secret in secrets]

    def holds(content: bytes) -> bool:
        return any(needle in content for needle in needles)

    found = [file.name for file in iterate_files(image) if holds(file.content + file.name.encode())]
    found += ["config"] if holds(str(image.config).encode()) else []
    for path in (pybuild.cache_home / "pybuild" / "apps").rglob("*"):
        if path.is_file() and not path.is_symlink() and holds(path.read_bytes() + str(path.name).encode()):
            found.append(str(path))
    return found
