"""What the tests of the installation share: a context, and packages that are locked and on the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from buildpacks.conda.lock import LockedPackage
from lifecycle.cnb.kit import BuildContext
from lifecycle.cnb.target import Target
from tests.integration.conda_packages import CondaPackage, write_package

CHANNEL = "https://conda.anaconda.org/conda-forge"


def make_context(root: Path, env: Mapping[str, str] | None = None) -> BuildContext:
    """A context whose layers are in `root/layers`."""
    for name in ("app", "layers"):
        (root / name).mkdir(exist_ok=True)
    return BuildContext(
        app_dir=root / "app",
        layers_dir=root / "layers",
        platform_dir=root,
        buildpack_dir=root,
        env={"PATH": os.environ["PATH"], "HOME": str(root), **(env or {})},
        target=Target(os="linux", arch="amd64"),
        plan=(),
        store={},
    )


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


def tree(directory: Path) -> dict[str, bytes | str]:
    """Every file with its content, every link with its target."""
    found: dict[str, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
