"""How far the build phase came, written for the platform's process: it decides what of a failed build may be kept.

A file of pybuild's own beside those of the contract, in the layers directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.toml import read_table, write_toml

_FILE_NAME = "pybuild-progress.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The buildpacks that were started, with their versions, and the one of them that has not finished."""

    started: Mapping[BuildpackId, str] = field(default_factory=dict)
    running: BuildpackId | None = None

    def start(self, element: GroupElement) -> Progress:
        """Return the progress while `element` runs."""
        return Progress(started={**self.started, element.id: element.version}, running=element.id)

    def finish(self, element: GroupElement) -> Progress:
        """Return the progress after `element` ran."""
        return replace(self.start(element), running=None)


def read_progress(layers_dir: Path) -> Progress:
    """Return how far the build came; nowhere when there is no file. Raises `ConfigurationError`."""
    path = layers_dir / _FILE_NAME
    if not path.exists():
        return Progress()
    document = read_table(path, follow_links=False)
    started = document.tables("started")
    return Progress(
        started={table.parsed("id", BuildpackId.parse): table.parsed("version", parse_version) for table in started},
        running=document.parsed("running", BuildpackId.parse) if "running" in document else None,
    )


def write_progress(layers_dir: Path, progress: Progress) -> None:
    """Write how far the build came."""
    started = [{"id": buildpack, "version": version} for buildpack, version in progress.started.items()]
    write_toml(layers_dir / _FILE_NAME, {"running": progress.running, "started": started})
