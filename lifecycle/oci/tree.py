"""What is in a directory, listed once, in the order in which archives have it: by the bytes of the names, parents first."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from lifecycle.oci.errors import ArchiveError

# https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
_WHITEOUT_PREFIX = b".wh."
_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Key = TypeVar("_Key", bound=Hashable)


# A tuple, not a dataclass: an environment has tens of thousands of them.
class Entry(NamedTuple):
    """A regular file, symbolic link or directory. `path` is relative to the tree, empty for its root; `size` is in bytes."""

    path: bytes
    kind: int
    """`stat.S_IFREG`, `stat.S_IFLNK` or `stat.S_IFDIR`."""
    mode: int
    """Permission bits."""
    size: int
    stamp: tuple[int, int, int, int]
    """Device, inode and the times of the last change of content and of anything (ns): others as soon as the file is written, replaced or
    given another time.
    """

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind == stat.S_IFDIR

    def is_still(self, status: os.stat_result) -> bool:
        """Whether nobody has written to a file that has this status now."""
        # Not the inode: some file systems have no lasting ones.
        _, _, modified_ns, _ = self.stamp
        return (status.st_size, status.st_mtime_ns) == (self.size, modified_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A directory and what of it counts: the root first, every entry after its parent. `skipped` is what no archive can have."""

    root: Path
    entries: tuple[Entry, ...]
    skipped: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(entry.size for entry in self.entries if entry.kind == stat.S_IFREG)

    @property
    def top(self) -> Tree:
        """The directory alone."""
        return Tree(root=self.root, entries=self.entries[:1])

    def select(self, is_wanted: Callable[[bytes], bool]) -> Tree:
        """Return the files, links and empty directories whose path is wanted, with the directories above them."""
        wanted = self.divide(lambda entry: is_wanted(entry.path)).get(True)
        return replace(wanted or self.top, skipped=self.skipped)

    def divide(self, part_of: Callable[[Entry], _Key]) -> Mapping[_Key, Tree]:
        """Return the tree in parts, by what `part_of` says of each file, link and empty directory.

        A part has the directories above what is in it. Together they are this tree, without what was skipped.
        """
        parts: dict[_Key, dict[bytes, Entry]] = {}
        above: list[Entry] = []
        for entry, is_leaf in self._leaves():
            while above and not _is_below(entry.path, above[-1].path):
                above.pop()
            if is_leaf:
                part = parts.setdefault(part_of(entry), {})
                # With a directory all those above it are there.
                known = len(above)
                while known and above[known - 1].path not in part:
                    known -= 1
                for directory in above[known:]:
                    part[directory.path] = directory
                part[entry.path] = entry
            if entry.is_directory:
                above.append(entry)
        return {key: Tree(root=self.root, entries=tuple(part.values())) for key, part in parts.items()}

    def _leaves(self) -> Iterator[tuple[Entry, bool]]:
        """Every entry, and whether nothing of the tree is in it."""
        for entry, following in zip(self.entries, (*self.entries[1:], None), strict=True):
            has_content = following is not None and entry.is_directory and _is_below(following.path, entry.path)
            yield entry, not has_content


def scan_tree(root: Path) -> Tree:
    """Return what is in the directory `root`; links are not followed.

    Raises:
        ArchiveError: a name that layers cannot have.
        OSError: a directory cannot be read.
    """
    entries: list[Entry] = []
    skipped: list[Path] = []
    # Directories that are open, and what of them is still to come: names may be longer together than a path can be.
    open_directories = [(os.open(root, _OPEN_FLAGS), b"")]
    to_come: list[Iterator[tuple[bytes, int, os.stat_result]]] = []
    try:
        entries.append(_entry(b"", stat.S_IFDIR, os.fstat(open_directories[0][0])))
        while open_directories:
            descriptor, above = open_directories[-1]
            if len(to_come) < len(open_directories):
                to_come.append(iter(_list(descriptor)))
            for name, kind, status in to_come[-1]:
                path = above + name
                if name.startswith(_WHITEOUT_PREFIX):
                    raise _whiteout(root, path)
                if kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):
                    skipped.append(root / os.fsdecode(path))
                    continue
                entries.append(_entry(path, kind, status))
                if kind == stat.S_IFDIR:
                    open_directories.append((os.open(name, _OPEN_FLAGS, dir_fd=descriptor), path + b"/"))
                    break
            else:
                os.close(open_directories.pop()[0])
                to_come.pop()
    finally:
        for descriptor, _ in open_directories:
            os.close(descriptor)
    return Tree(root=root, entries=tuple(entries), skipped=tuple(skipped))


def _list(descriptor: int) -> list[tuple[bytes, int, os.stat_result]]:
    with os.scandir(descriptor) as found:
        facts = [(os.fsencode(entry.name), entry.stat(follow_symlinks=False)) for entry in found]
    return sorted((name, stat.S_IFMT(status.st_mode), status) for name, status in facts)


def _entry(path: bytes, kind: int, status: os.stat_result) -> Entry:
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return Entry(path, kind, stat.S_IMODE(status.st_mode), status.st_size, stamp)


def _is_below(path: bytes, directory: bytes) -> bool:
    return not directory or path.startswith(directory + b"/")


def _whiteout(root: Path, path: bytes) -> ArchiveError:
    return ArchiveError(
        os.fsdecode(os.fsencode(root) + b"/" + path),
        "a file whose name begins with `.wh.` cannot be in an image",
        "rename it: in the layers of an image that name means that a file was removed",
    )
