"""Environments as installers leave them, without an installer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

SITE_PACKAGES = "lib/python3.12/site-packages"


def add_distribution(
    prefix: Path, name: str, files: Mapping[str, int], *, version: str = "1.0", record: Sequence[str] | None = None
) -> None:
    """Install a distribution: `files` are sizes by path relative to site-packages. What they hold depends on the version."""
    site_packages = prefix / SITE_PACKAGES
    for path, size in files.items():
        _write(site_packages / path, version, size)
    metadata = f"{name}-{version}.dist-info"
    _write(site_packages / metadata / "METADATA", version, 100)
    lines = record if record is not None else [f"{path},," for path in (*files, f"{metadata}/METADATA")]
    (site_packages / metadata / "RECORD").write_text("".join(f"{line}\n" for line in lines))


def add_conda_package(prefix: Path, name: str, files: Mapping[str, int]) -> None:
    """Install a conda package: `files` are sizes by path relative to the prefix."""
    for path, size in files.items():
        _write(prefix / path, name, size)
    record = prefix / "conda-meta" / f"{name}-1.0-0.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"name": name, "files": list(files)}))


def _write(path: Path, content: str, size: int) -> None:
    # Holes: environments of real size cost nothing.
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        stream.write(content)
        stream.truncate(max(size, len(content)))
