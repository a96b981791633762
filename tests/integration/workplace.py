"""Stores and repositories for a test to work with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# What the store keeps for applications; all else in it belongs to the builder.
_OF_APPLICATIONS = {
    *(
        "apps",
        "archives",
        "buildpacks",
        "buildpacks.lock",
        "checks",
        "environments",
        "images",
        "layers",
        "lock",
        "made",
        "run",
    ),
}


def share_builder(machine_store: Path, cache_home: Path) -> Path:
    """`cache_home` with a store that has the machine's builder and no applications yet."""
    store = cache_home / "pybuild"
    store.mkdir(parents=True)
    for entry in machine_store.iterdir():
        if entry.name not in _OF_APPLICATIONS:
            (store / entry.name).symlink_to(entry)
    return cache_home


def clone_of(fixture: Path, target: Path) -> Path:
    """A git clone of a fixture."""
    origin = target.with_name(f"{target.name}-origin")
    shutil.copytree(fixture, origin)
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    for command in (("init", "--quiet"), ("add", "--all"), (*identity, "commit", "--quiet", "--message", "Begin")):
        subprocess.run(["git", *command], cwd=origin, check=True)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(target)], check=True)
    return target
