"""Package archives that the applications of a machine share, each under the SHA-256 of its content.

A build sees them and cannot write them. What it downloaded, and left in a directory `archives` of one of its layers as
`<sha256>.<suffix>`, comes in when the build is over and pybuild, outside of the sandbox, has found that the name is true: so no
build can give another one what it did not ask for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pybuild.builder.kept import mark_used

ARCHIVES_IN_BUILD = PurePosixPath("/platform/archives")
_NAME = re.compile(r"([0-9a-f]{64})\.[a-z0-9]+(\.[a-z0-9]+)?", re.ASCII)
_HASH = re.compile(r"\b[0-9a-f]{64}\b", re.ASCII)
_KEPT_S = 60 * 24 * 3600
_BLOCK = 1 << 20


def share_archives(layers_dir: Path, archives: Path) -> None:
    """Move the archives that a build left below `layers_dir` into `archives`; those that are not what they are called stay.

    No build may be running in `layers_dir`.
    """
    archives.mkdir(parents=True, exist_ok=True)
    for path in _left_by_build(layers_dir):
        name = _NAME.fullmatch(path.name)
        # Another name for the same file would be a way to change it later.
        if name is not None and path.lstat().st_nlink == 1 and _hash(path) == name[1]:
            path.chmod(0o644)
            path.rename(archives / path.name)


def keep_archives(archives: Path, locks: Iterable[str]) -> None:
    """Remember that the archives whose hashes stand in `locks` are used, and remove those that were not for long."""
    used = {found for text in locks for found in _HASH.findall(text)}
    now = time.time()
    for path in archives.iterdir():
        if path.name.partition(".")[0] in used:
            mark_used(path)
        elif now - path.stat().st_mtime > _KEPT_S:
            path.unlink(missing_ok=True)


def _left_by_build(layers_dir: Path) -> Iterator[Path]:
    """Regular files in real directories: nothing is reached through a link."""
    for buildpack in _subdirectories(layers_dir):
        for layer in _subdirectories(buildpack):
            for directory in _subdirectories(layer):
                if directory.name == "archives":
                    with os.scandir(directory) as entries:
                        yield from sorted(Path(entry) for entry in entries if entry.is_file(follow_symlinks=False))


def _subdirectories(directory: Path) -> list[Path]:
    with os.scandir(directory) as entries:
        return sorted(Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False))


def _hash(path: Path) -> str | None:
    digest = hashlib.sha256()
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()
    return None
