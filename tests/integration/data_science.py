"""The data-science image that several tests look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.command import Finished, Pybuild, expect_success


@dataclass(frozen=True, slots=True, kw_only=True)
class DataScience:
    """What the first build of the data-science repository left."""

    pybuild: Pybuild
    repository: Path
    layout: Path
    archive: Path
    """docker-archive; its image is named `data-science`."""
    first: Finished
    directory: Path
    """For what the tests make."""

    def build(self, *arguments: str | Path) -> tuple[Finished, Mapping[str, Any]]:
        """A further build in the same store: how it ended, and its report."""
        return build_with_report(self.pybuild, self.repository, self.directory / "report.json", *arguments)


def build_with_report(
    pybuild: Pybuild, repository: Path | str, report: Path, *arguments: str | Path
) -> tuple[Finished, Mapping[str, Any]]:
    """A build that must succeed: how it ended, and its report."""
    finished = expect_success(pybuild("build", repository, "--report", report, *arguments))
    return finished, json.loads(report.read_text())


def build_data_science(pybuild: Pybuild, repository: Path, directory: Path) -> DataScience:
    """Build the repository into a layout and an archive."""
    layout, archive = directory / "layout", directory / "image.tar"
    outputs = ("--output", f"oci:{layout}", "--output", f"docker-archive:{archive}", "--tag", "data-science")
    first = expect_success(pybuild("build", repository, *outputs))
    return DataScience(
        pybuild=pybuild, repository=repository, layout=layout, archive=archive, first=first, directory=directory
    )


def layer_digests(report: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each layer by its name, of the last one where several have the name."""
    return {layer["name"]: layer["digest"] for layer in report["layers"]}


def reused_layers(report: Mapping[str, Any]) -> dict[str, bool]:
    """For each layer's name whether it was reused."""
    return {layer["name"]: layer["reused"] for layer in report["layers"]}
