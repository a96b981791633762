"""Archives of packages: fetched from the channels, verified, and kept in the cache layer by their content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from buildpacks.conda.client import Network
from buildpacks.conda.lock import LockedPackage


def fetch_archives(
    packages: Sequence[LockedPackage],
    *,
    network: Network,
    cache_dir: Path,
    shared_dir: Path | None,
    say: Callable[[str], None],
) -> Mapping[LockedPackage, Path]:
    """Return where the archive of each package is: `<cache_dir>/archives/<sha256>.conda`, or in `shared_dir`.

    `shared_dir` is the machine's store (`PYBUILD_ARCHIVES`), which is only read. Raises `BrokenArchive`, `UnreachableChannel`.
    """
    raise NotImplementedError
