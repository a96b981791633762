"""The archives of a build's packages, and the hashes of those for which neither a channel nor a lock gives any.

Such a hash is that of the first download: it is kept in the cache layer, so that a later build notices another file at the URL, and
stands in the lock like every other one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.work import Work
from lifecycle.cnb.toml import write_atomically

ARCHIVES_VARIABLE = "PYBUILD_ARCHIVES"
_KNOWN = "hashes.json"


def obtain_archives(work: Work, packages: tuple[LockedPackage, ...]) -> Mapping[LockedPackage, Path]:
    """Return where the archive of each package is. Raises `BrokenArchive`, `UnreachableChannel` and `DiskFull`."""
    from buildpacks.conda.archives import fetch_archives  # loads rattler

    shared = work.context.env.get(ARCHIVES_VARIABLE)
    return fetch_archives(
        packages,
        network=work.network,
        cache_dir=work.cache_dir,
        shared_dir=Path(shared) if shared else None,
        say=work.context.say,
    )


def complete_hashes(work: Work, packages: tuple[LockedPackage, ...]) -> tuple[LockedPackage, ...]:
    """Return the packages, each with its SHA-256; downloads those that nobody knows it of. Raises as `obtain_archives`."""
    if all(package.sha256 for package in packages):
        return packages
    path = work.cache_dir / _KNOWN
    known = {} if work.settings.refresh else _read(path)
    unknown = tuple(package for package in packages if package.sha256 is None and package.url not in known)
    if unknown:
        found = obtain_archives(work, unknown)
        known |= {package.url: archive.name.partition(".")[0] for package, archive in found.items()}
        write_atomically(path, json.dumps(known, indent=1, sort_keys=True).encode())
    return tuple(replace(package, sha256=package.sha256 or known[package.url]) for package in packages)


def _read(path: Path) -> dict[str, str]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(url): str(value) for url, value in values.items()} if isinstance(values, dict) else {}
