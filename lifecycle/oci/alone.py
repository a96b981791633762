"""Files and directories that one process writes at a time; the kernel lets go of them when it ends, however that is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

_MODE = 0o644


def open_alone(place: Path, flags: int, *, make: Callable[[], object] = lambda: None) -> int:
    """Return a descriptor of what is at `place`; for as long as it is open, other callers wait. Raises `OSError`.

    `make` is called before each attempt to open it: it may be removed while it is waited for.
    """
    while True:
        make()
        descriptor = os.open(place, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The one who had it may have given it another name, or removed it.
            if is_at(descriptor, place):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_at(descriptor: int, place: Path) -> bool:
    """Return whether what is open is still what is at `place`."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return False
    own = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
