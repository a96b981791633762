"""Waits until the disk has what was written: what an output says after that, it says after a power cut, too."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# A journal takes many at once.
_AT_ONCE = 16


def sync_files(paths: Collection[Path]) -> None:
    """Return when the disk has these files and the directories that they are in. Raises `OSError`."""
    if paths:
        with ThreadPoolExecutor(min(_AT_ONCE, len(paths))) as executor:
            # Names after contents.
            list(executor.map(_sync, paths))
            list(executor.map(_sync, {path.parent for path in paths}))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
