"""Removes from the store what is not wanted any more, never what a running build uses.

Whoever uses what applications share holds the lock of the store, and a build that of its application: what is locked stays.
"""

from __future__ import annotations

import stat
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.layer import is_real_directory, remove_tree
from pybuild.engines.sandbox_build import remove_tree_of_users
from pybuild.errors import UsageError
from pybuild.log import Log
from pybuild.source import source_identity
from pybuild.store import Application, application_of, locked_if_free
from pybuild.usage import PARTS, bytes_on_disk, files_of, kept_applications, read_repository

# Where a part holds more than one kind of thing.
_ENTRIES = {
    "layers": ("*", "blobs/*"),
    "made": ("*", "blobs/*"),
    "images": ("names/*", "blobs/*/*", "archive-*"),
}
_KEPT_NAMES = frozenset({"blobs", "names", "lock", "scratch.lock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """What to remove."""

    applications: tuple[str, ...] | None = None
    """Keys or repositories; `None`: any application, and what applications share."""
    older_than_s: float = 0.0
    """What was used within so many seconds stays."""


@dataclass(slots=True)
class Pruned:
    """What became of it."""

    removed: list[str] = field(default_factory=list)
    """What was removed, a line each."""
    in_use: list[str] = field(default_factory=list)
    """What was to be removed, but is used now."""
    freed: int = 0
    """Bytes on disk."""


def prune_store(request: PruneRequest, store: Path, log: Log) -> Pruned:
    """What was removed.

    Raises:
        UsageError: nothing is kept of an application that is named; then nothing was removed.
        OSError: something cannot be removed; what was until then is gone.
    """
    pruning = _Pruning(before=time.time() - request.older_than_s, log=log)
    if request.applications is None:
        for application in kept_applications(store):
            pruning.remove_application(application)
        with locked_if_free(store / "lock") as is_free:
            if is_free:
                for name in PARTS:
                    pruning.remove_from_part(store / name)
            else:
                pruning.done.in_use.append("what applications share")
    else:
        for application in [found for text in request.applications for found in _find_applications(store, text)]:
            pruning.remove_application(application)
    return pruning.done


def _find_applications(store: Path, text: str) -> list[Application]:
    """The one that has the key `text`, or those of a repository, one for each platform."""
    known = kept_applications(store)
    key = application_of(store, source_identity(text)).directory.name
    found = [one for one in known if one.directory.name == text] or [
        one for one in known if one.directory.name.partition("-")[0] == key
    ]
    if not found:
        raise UsageError(
            f"nothing is kept of `{text}`", "`pybuild cache list` shows of which applications something is"
        )
    return found


class _Pruning:
    """Removes, and counts what that frees: a file is gone with the last of its names, whatever was removed before."""

    def __init__(self, *, before: float, log: Log) -> None:
        self.done = Pruned()
        self._before = before
        self._log = log

    def remove_application(self, application: Application) -> None:
        """Remove what is kept of one, unless it was used since or is used now."""
        if application.directory.stat().st_mtime >= self._before:
            return
        shown = read_repository(application) or application.directory.name
        with locked_if_free(application.lock) as is_free:
            if not is_free:
                self.done.in_use.append(shown)
                return
            with self._log.step(f"removing what is kept of {shown}"):
                self._count(application.directory)
                for path in application.directory.iterdir():
                    if path != application.lock:
                        remove_tree_of_users(path)
                # Last, and while it is held: a build that waits for it sees that it is gone.
                application.lock.unlink()
                application.directory.rmdir()
        self.done.removed.append(shown)

    def remove_from_part(self, directory: Path) -> None:
        """Remove what was not used since from a part that nobody uses now."""
        removed = 0
        for path in _entries(directory):
            if path.lstat().st_mtime < self._before:
                self._count(path)
                remove_tree(path)
                removed += 1
        if removed:
            self.done.removed.append(f"{removed} of {directory.name}: {PARTS[directory.name]}")

    def _count(self, root: Path) -> None:
        names: Counter[tuple[int, int]] = Counter()
        for found in files_of(root):
            names[found.st_dev, found.st_ino] += 1
            is_last = names[found.st_dev, found.st_ino] == found.st_nlink
            if is_last or stat.S_ISDIR(found.st_mode):
                self.done.freed += bytes_on_disk(found)


def _entries(directory: Path) -> list[Path]:
    # In a store that is put together for a purpose a part may be a link to that of another store, whose own it is.
    if not is_real_directory(directory):
        return []
    patterns = _ENTRIES.get(directory.name, ("*",))
    return [path for pattern in patterns for path in sorted(directory.glob(pattern)) if path.name not in _KEPT_NAMES]
