"""Paths inside an unpacked image, followed as its own programs would: no link leads out of it. Nothing is written here."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

# As many as the kernel follows (https://man7.org/linux/man-pages/man7/path_resolution.7.html).
_LINK_LIMIT = 40
# Where programs are looked for in an image that says nothing of it.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def resolve_inside(rootfs: Path, path: PurePosixPath) -> PurePosixPath | None:
    """The absolute path that `path` leads to when `rootfs` is the root directory; None where the kernel would not follow it.

    What does not exist is kept as it is written. The tree must not change meanwhile.
    """
    try:
        return _resolve(rootfs, path)
    except OSError:  # a name that is too long
        return None


def _resolve(rootfs: Path, path: PurePosixPath) -> PurePosixPath | None:
    found = PurePosixPath("/")
    remaining = list(reversed(path.parts))
    links = 0
    while remaining:
        part = remaining.pop()
        if part in ("/", "//"):
            found = PurePosixPath("/")
        elif part == "..":
            found = found.parent
        else:
            place = on_disk(rootfs, found / part)
            if not place.is_symlink():
                found /= part
                continue
            links += 1
            if links > _LINK_LIMIT:
                return None
            remaining.extend(reversed(PurePosixPath(place.readlink()).parts))
    return found


def on_disk(rootfs: Path, path: PurePosixPath) -> Path:
    """Where the machine has `path` of the image, which is absolute and without links."""
    return rootfs / path.relative_to("/")


def find_program(rootfs: Path, name: str, search_path: str | None) -> PurePosixPath | None:
    """The program that `name` starts in an image whose `PATH` is `search_path`; None where there is none."""
    if "/" in name:
        candidates = [PurePosixPath("/", name)]
    else:
        directories = (search_path or SEARCH_PATH).split(":")
        candidates = [PurePosixPath("/", directory, name) for directory in directories]
    return next((path for path in candidates if is_program(rootfs, path)), None)


def is_program(rootfs: Path, path: PurePosixPath) -> bool:
    """Whether a program is at `path` of the image, directly or by links."""
    resolved = resolve_inside(rootfs, path)
    if resolved is None:
        return False
    try:
        mode = on_disk(rootfs, resolved).lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and mode & 0o111 != 0
