"""What the tests of the installation share: a context, and packages that are locked and on the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from buildpacks.conda.lock import LockedPackage
from tests.integration.conda_packages import CondaPackage, write_package

CHANNEL = "https://conda.anaconda.org/conda-forge"


def lock_archives(directory: Path, *packages: CondaPackage, ending: str = ".conda") -> dict[LockedPackage, Path]:
    """Write `packages` to `directory`; returns them as they stand in a lock, with their archives."""
    found = {}
    for package in packages:
        path = write_package(directory, package, ending=ending)
        content = path.read_bytes()
        locked = LockedPackage(
            name=package.name,
            version=package.version,
            build=package.build,
            subdir=package.directory,
            url=f"{CHANNEL}/{package.directory}/{path.name}",
            channel=CHANNEL,
            sha256=hashlib.sha256(content).hexdigest(),
            md5=hashlib.md5(content).hexdigest(),
            size=len(content),
            record=None,
        )
        found[locked] = path
    return found
