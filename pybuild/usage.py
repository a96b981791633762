"""What the store holds, and how much room it takes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.errors import printable
from lifecycle.cnb.layer import is_real_directory
from pybuild.store import Application

# What applications share, and what it is for.
PARTS: Mapping[str, str] = {
    "bases": "build and run bases",
    "interpreters": "CPython archives",
    "natives": "what the programs of the lifecycle have in them",
    "poetry": "Poetry",
    "wheels": "the wheel of pip",
    "buildpacks": "buildpacks that came in archives and images",
    "builders": "builders made of these",
    "archives": "conda packages",
    "layers": "environments that applications share",
    "made": "layers of interpreters and of parts of environments",
    "images": "images that Dockerfiles took",
    "environments": "what environments made in Python are built from",
    "run": "images unpacked to run or check them",
    "checks": "which images meet which profiles",
}
_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationUsage:
    """What is kept of one application. Sizes are bytes on disk; what it has in common with a part is counted there."""

    application: Application
    repository: str | None
    last_used: float
    """Seconds since 1970."""
    cache: int
    image: int
    extension: int

    @property
    def key(self) -> str:
        """Its name in the store."""
        return self.application.directory.name

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return self.cache + self.image + self.extension

    def to_json(self) -> Mapping[str, object]:
        """The values for programs."""
        return {
            "key": self.key,
            "repository": self.repository,
            "last-used": int(self.last_used),
            "cache": self.cache,
            "image": self.image,
            "dockerfile": self.extension,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage:
    """What is in the store: `parts` by their name, and applications, the one that was used last before the others."""

    parts: Mapping[str, int]
    applications: tuple[ApplicationUsage, ...]

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(self.parts.values()) + sum(one.size for one in self.applications)

    def to_json(self) -> Mapping[str, object]:
        """The values for programs."""
        applications = sum(one.size for one in self.applications)
        return {"size": self.size, "parts": dict(self.parts), "applications": applications}


def measure_store(store: Path) -> StoreUsage:
    """What is in `store` now; builds may go on meanwhile. A file with several names counts once."""
    counted: set[tuple[int, int]] = set()
    parts = {name: measure_tree(store / name, counted) for name in PARTS}
    applications = [measure_application(application, counted) for application in kept_applications(store)]
    return StoreUsage(
        parts=parts, applications=tuple(sorted(applications, key=lambda one: one.last_used, reverse=True))
    )


def kept_applications(store: Path) -> tuple[Application, ...]:
    """Applications of which anything is kept."""
    directory = store / "apps"
    if not is_real_directory(directory):
        return ()
    return tuple(Application(directory=path) for path in sorted(directory.iterdir()) if is_real_directory(path))


def measure_application(application: Application, counted: set[tuple[int, int]]) -> ApplicationUsage:
    """What is kept of one application; files that are in `counted`, by device and inode, are not counted again."""
    return ApplicationUsage(
        application=application,
        repository=read_repository(application),
        # When the directory of its last build was removed from it.
        last_used=application.directory.stat().st_mtime,
        cache=measure_tree(application.cache, counted),
        image=measure_tree(application.image, counted),
        extension=measure_tree(application.extension, counted),
    )


def measure_tree(root: Path, counted: set[tuple[int, int]]) -> int:
    """Bytes on disk of what is at `root`; links are not followed, and what may not be read is left out."""
    size = 0
    for found in files_of(root):
        identity = (found.st_dev, found.st_ino)
        if identity not in counted:
            counted.add(identity)
            size += bytes_on_disk(found)
    return size


def bytes_on_disk(found: os.stat_result) -> int:
    """Bytes that a file takes."""
    return found.st_blocks * _BLOCK


def files_of(root: Path) -> Iterator[os.stat_result]:
    """What `lstat` says of `root`, if it is there, and of everything below it; what vanishes meanwhile is left out."""
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        try:
            found = os.lstat(path)
            yield found
            if stat.S_ISDIR(found.st_mode):
                pending += [entry.path for entry in os.scandir(path)]
        except OSError:
            continue


def read_repository(application: Application) -> str | None:
    """What was built, as it may be shown; `None` where that is not known."""
    try:
        return printable(os.fsdecode(application.repository.read_bytes()))
    except OSError:
        return None
