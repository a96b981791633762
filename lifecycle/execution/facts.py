"""What a root file system says of itself: distribution and C library. Buildpacks that put layers on it need to know."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.target import parse_os_release
from lifecycle.cnb.toml import Table
from lifecycle.execution.inside import on_disk, resolve_inside

# https://www.freedesktop.org/software/systemd/man/os-release.html
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
# The dynamic linkers of the architectures that images are built for; glibc's says its version, musl's as well.
_LINKERS = {
    "amd64": "lib64/ld-linux-x86-64.so.2",
    "arm64": "lib/ld-linux-aarch64.so.1",
    "arm": "lib/ld-linux-armhf.so.3",
    "ppc64le": "lib64/ld64.so.2",
    "s390x": "lib/ld64.so.1",
}
_MUSL_LINKERS = {
    "amd64": "lib/ld-musl-x86_64.so.1",
    "arm64": "lib/ld-musl-aarch64.so.1",
    "arm": "lib/ld-musl-armhf.so.1",
}
_GLIBC_VERSION = re.compile(rb"stable release version (\d+\.\d+)")
_MUSL_VERSION = re.compile(rb"\0(1\.\d+\.\d+)\0")

_FILE_LIMIT = 16 * 1024 * 1024

ReadFile = Callable[[str], "bytes | None"]
"""Content of a file of a root file system by its path, links followed inside of it; `None` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootfsFacts:
    """What is known of a root file system."""

    distro_name: str | None = None
    distro_version: str | None = None
    libc: str | None = None
    """`glibc` or `musl`."""
    libc_version: str | None = None

    def values(self) -> dict[str, str | None]:
        """Return JSON values."""
        return {
            "distro-name": self.distro_name,
            "distro-version": self.distro_version,
            "libc": self.libc,
            "libc-version": self.libc_version,
        }


def parse_facts(table: Table) -> RootfsFacts:
    """Return the facts that `values` gave. Raises `ConfigurationError`."""
    return RootfsFacts(
        distro_name=table.optional_string("distro-name"),
        distro_version=table.optional_string("distro-version"),
        libc=table.optional_string("libc"),
        libc_version=table.optional_string("libc-version"),
    )


def read_facts(root: Path) -> RootfsFacts:
    """Return the facts of the root file system in the directory `root`."""
    return find_facts(lambda path: _read_inside(root, path))


def find_facts(read: ReadFile, architecture: str | None = None) -> RootfsFacts:
    """Return the facts of the root file system that `read` reads.

    `architecture` is that of the image, as OCI names it, for readers that take their time: only its linkers are looked for.
    """
    release = {}
    for path in _OS_RELEASE:
        content = read(path)
        if content is not None:
            release = dict(parse_os_release(content.decode("utf-8", "replace")))
            break
    libc, libc_version = _find_libc(read, architecture)
    return RootfsFacts(
        distro_name=release.get("ID"), distro_version=release.get("VERSION_ID"), libc=libc, libc_version=libc_version
    )


def _find_libc(read: ReadFile, architecture: str | None) -> tuple[str | None, str | None]:
    is_known = architecture in _LINKERS
    for name, linkers, pattern in (("glibc", _LINKERS, _GLIBC_VERSION), ("musl", _MUSL_LINKERS, _MUSL_VERSION)):
        for its_architecture, linker in linkers.items():
            content = read(linker) if not is_known or its_architecture == architecture else None
            if content is not None:
                found = pattern.search(content)
                return name, None if found is None else found[1].decode()
    return None, None


def _read_inside(root: Path, path: str) -> bytes | None:
    """Content of a file below `root`, as the image would see it: links, absolute ones as well, lead nowhere else."""
    place = resolve_inside(root, PurePosixPath("/", path))
    if place is None:
        return None
    try:
        descriptor = os.open(on_disk(root, place), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _FILE_LIMIT:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(_FILE_LIMIT)
    finally:
        os.close(descriptor)
