"""Builds of small repositories, with what they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.command import Finished, Pybuild, expect_error, expect_success
from tests.integration.data_science import build_with_report
from tests.integration.image_files import LayoutImage, iterate_files, read_layout

BUILDPACK_FAILED = 51

_Builds = TypeVar("_Builds", bound="Builds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """The command, and a place for what builds leave."""

    pybuild: Pybuild
    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """`--env` of every build, `BP_*` variables above all."""

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

    def with_settings(self: _Builds, **changes: str | None) -> _Builds:
        """With other settings; None removes one."""
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


def layer_digests(report: Mapping[str, Any]) -> dict[str, str]:
    """For each layer's name its diff ID."""
    return {layer["name"]: layer["diffID"] for layer in report["layers"]}


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
