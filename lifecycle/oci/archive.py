"""Reproducible tar archives of trees (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, "ustar" and "pax").

Names are bytes and have no leading `/`. Every time is 1980-01-01T00:00:01Z, owners are numbers that the caller gives, the
order is that of the bytes of the names. Permission bits stay, set-user-id and set-group-id do not: the latter is inherited from
wherever a build happens to run. Symbolic links are kept, hard links become copies, what is neither file, directory nor link is left
out and reported. The standard library's `tarfile` would do the same several times slower.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.oci.errors import ArchiveError
from lifecycle.oci.tree import Entry, Tree, scan_tree

# The value of every CNB lifecycle: 1980-01-01T00:00:01Z, the first second that zip files can express.
FILE_TIME = 315532801
_BLOCK = 512
# Consumers get the archive in pieces of exactly this size: compressors may give other bytes for other pieces.
PIECE_SIZE = 1 << 20
_MODE_BITS = 0o1777
_USTAR_SIZE_LIMIT = 1 << 33
_USTAR_ID_LIMIT = 1 << 21
_FILE, _LINK, _DIRECTORY, _PAX = b"0", b"2", b"5", b"x"
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Numbers of the user and the group that files in the image belong to."""

    user_id: int
    group_id: int


ROOT = Owner(user_id=0, group_id=0)

Select = Callable[[bytes], bool]
"""Whether a path, relative to the tree, goes into the archive. Directories come with what is in them."""


def select_all(_: bytes) -> bool:
    """Select every path."""
    return True


class TarWriter:
    """Writes an archive to `emit`, in pieces of `PIECE_SIZE` bytes, the last one shorter.

    Directories are written once, and parents must be written by the caller (`parents`). `on_skip` gets the path of what is
    neither file, directory nor link.
    """

    def __init__(self, emit: Callable[[memoryview], None], *, on_skip: Callable[[Path], None] | None = None) -> None:
        self._emit = emit
        self._on_skip = on_skip
        self._buffer = bytearray(PIECE_SIZE)
        self._view = memoryview(self._buffer)
        self._used = 0
        self._directories: set[bytes] = set()

    def parents(self, path: PurePosixPath, owner: Owner) -> None:
        """Write the directories above `path`, with mode 0755, that are not in the archive yet."""
        for parent in reversed(path.parents):
            self.directory(parent, owner)

    def directory(self, path: PurePosixPath, owner: Owner, *, mode: int = 0o755) -> None:
        """Write a directory, unless it is there already."""
        self._directory(_name(path), _Owned(owner), mode)

    def file(self, path: PurePosixPath, content: bytes, owner: Owner, *, mode: int = 0o644) -> None:
        """Write a file."""
        self._header(_name(path), _Owned(owner), _FILE, mode=mode, size=len(content))
        self._write(content)
        self._pad(len(content))

    def stream(
        self, path: PurePosixPath, size: int, owner: Owner, copy: Callable[[Callable[[bytes], None]], None]
    ) -> None:
        """Write a file of `size` bytes, which `copy` hands to the function it is given. Raises what `copy` raises."""
        self._header(_name(path), _Owned(owner), _FILE, mode=0o644, size=size)
        copy(self._write)
        self._pad(size)

    def symlink(self, path: PurePosixPath, target: str, owner: Owner) -> None:
        """Write a symbolic link."""
        self._header(_name(path), _Owned(owner), _LINK, mode=0o777, link=os.fsencode(target))

    def tree(self, root: Path, path: PurePosixPath, owner: Owner, *, select: Select = select_all) -> None:
        """Write what is in the directory `root` as if it were at `path`, and `path` itself.

        Raises:
            ArchiveError: a name that layers cannot have, or a file that changes while it is read.
            OSError: a file cannot be read.
        """
        found = scan_tree(root)
        self.entries(found if select is select_all else found.select(select), path, owner)

    def entries(self, tree: Tree, path: PurePosixPath, owner: Owner) -> None:
        """Write what was found in a directory as if it were at `path`, as `tree` does."""
        for skipped in tree.skipped:
            if self._on_skip is not None:
                self._on_skip(skipped)
        top, owned = _name(path), _Owned(owner)
        with _OpenDirectories(tree.root) as directories:
            for entry in tree.entries:
                name = b"/".join(part for part in (top, entry.path) if part)
                if entry.is_directory:
                    self._directory(name, owned, entry.mode)
                    continue
                above, _, own_name = entry.path.rpartition(b"/")
                directory = directories.open(above)
                if entry.kind == stat.S_IFREG:
                    self._header(name, owned, _FILE, mode=entry.mode, size=entry.size)
                    if not self._content_of(entry, own_name, directory):
                        place = os.fsdecode(os.fsencode(tree.root) + b"/" + entry.path)
                        raise ArchiveError(place, "changes while it is read", "build again when nothing writes to it")
                    self._pad(entry.size)
                else:
                    link = os.readlink(own_name, dir_fd=directory)
                    self._header(name, owned, _LINK, mode=0o777, link=link)

    def finish(self) -> None:
        """Write the end of the archive and hand on what is left."""
        self._write(bytes(2 * _BLOCK))
        if self._used:
            self._emit(self._view[: self._used])
        self._used = 0

    def _directory(self, name: bytes, owner: _Owned, mode: int) -> None:
        if name and name not in self._directories:
            self._directories.add(name)
            self._header(name + b"/", owner, _DIRECTORY, mode=mode)

    def _content_of(self, entry: Entry, own_name: bytes, directory: int) -> bool:
        """Write what is in a file; whether that is what was found, to its end."""
        descriptor = os.open(own_name, _OPEN_FLAGS, dir_fd=directory)
        try:
            return self._copy(descriptor, entry.size) and entry.is_still(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _copy(self, descriptor: int, size: int) -> bool:
        while size:
            count = os.readv(descriptor, [self._view[self._used : min(PIECE_SIZE, self._used + size)]])
            if count == 0:
                return False
            size -= count
            self._advance(count)
        return True

    def _write(self, content: bytes) -> None:
        position = 0
        while position < len(content):
            count = min(len(content) - position, PIECE_SIZE - self._used)
            self._buffer[self._used : self._used + count] = content[position : position + count]
            position += count
            self._advance(count)

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % _BLOCK))

    def _advance(self, count: int) -> None:
        self._used += count
        if self._used == PIECE_SIZE:
            self._emit(self._view)
            # The consumers still read the old one, on other threads.
            self._buffer = bytearray(PIECE_SIZE)
            self._view = memoryview(self._buffer)
            self._used = 0

    def _header(self, name: bytes, owner: _Owned, kind: bytes, *, mode: int, size: int = 0, link: bytes = b"") -> None:
        prefix, short = b"", name
        if len(name) > 100:
            prefix, short = _split(name)
        if not short or len(link) > 100 or size >= _USTAR_SIZE_LIMIT:
            records = b"".join(_pax_records(name=b"" if short else name, link=link, size=size))
            self._block(b"pax", owner, _PAX, mode=0o644, size=len(records))
            self._write(records)
            self._pad(len(records))
            # Readers of pax take the records; the fields hold what fits of them.
            short, link, size = short or name[:100], link[:100], size if size < _USTAR_SIZE_LIMIT else 0
        self._block(short, owner, kind, mode=mode, size=size, link=link, prefix=prefix)

    def _block(
        self, name: bytes, owner: _Owned, kind: bytes, *, mode: int, size: int, link: bytes = b"", prefix: bytes = b""
    ) -> None:
        fields = b"%b%07o\0%b%011o\0%011o\0" % (name.ljust(100, b"\0"), mode & _MODE_BITS, owner.field, size, FILE_TIME)
        rest = kind + link.ljust(100, b"\0") + b"ustar\x0000" + _NO_NAMES + prefix.ljust(155, b"\0") + _END
        checksum = sum(fields) + _CHECKSUM_OF_REST + sum(kind) + sum(link) + sum(prefix)
        self._write(b"%b%06o\0 %b" % (fields, checksum, rest))


# User name, group name and the device numbers
_NO_NAMES = bytes(64) + b"0000000\0" * 2
_END = bytes(12)
# Without kind, link and prefix: most of a header is the same in all. The checksum counts its own field as eight spaces.
_CHECKSUM_OF_REST = 8 * 32 + sum(b"ustar\x0000" + _NO_NAMES + _END)


class _Owned:
    """An owner as the header has it."""

    __slots__ = ("field",)

    def __init__(self, owner: Owner) -> None:
        if not (0 <= owner.user_id < _USTAR_ID_LIMIT and 0 <= owner.group_id < _USTAR_ID_LIMIT):
            raise ArchiveError(f"owner {owner.user_id}:{owner.group_id}", f"must be below {_USTAR_ID_LIMIT}")
        self.field = b"%07o\0%07o\0" % (owner.user_id, owner.group_id)


class _OpenDirectories:
    """Opens directories below `root`, none of them through a link, in the order of an archive: the one that it gave is closed when
    the next is not below it.
    """

    def __init__(self, root: Path) -> None:
        self._way: list[tuple[bytes, int]] = [(b"", os.open(root, _OPEN_FLAGS | os.O_DIRECTORY))]

    def __enter__(self) -> _OpenDirectories:
        return self

    def __exit__(self, *_: object) -> None:
        while self._way:
            os.close(self._way.pop()[1])

    def open(self, path: bytes) -> int:
        """Return a descriptor of the directory, which stays the object's own."""
        while not (path + b"/").startswith(self._way[-1][0]):
            os.close(self._way.pop()[1])
        above, descriptor = self._way[-1]
        for name in path[len(above) :].split(b"/") if len(path) > len(above) else ():
            descriptor = os.open(name, _OPEN_FLAGS | os.O_DIRECTORY, dir_fd=descriptor)
            above += name + b"/"
            self._way.append((above, descriptor))
        return descriptor


def _name(path: PurePosixPath) -> bytes:
    return os.fsencode(str(path)).strip(b"/") if str(path) != "." else b""


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name as ustar divides a long path at a `/`; two empty ones where that is impossible."""
    cut = name.rfind(b"/", 0, min(len(name) - 1, 156))
    if cut <= 0 or len(name) - cut - 1 > 100:
        return b"", b""
    return name[:cut], name[cut + 1 :]


def _pax_records(*, name: bytes, link: bytes, size: int) -> Iterator[bytes]:
    if len(link) > 100:
        yield _pax_record(b"linkpath", link)
    if name:
        yield _pax_record(b"path", name)
    if size >= _USTAR_SIZE_LIMIT:
        yield _pax_record(b"size", b"%d" % size)


def _pax_record(key: bytes, value: bytes) -> bytes:
    # The length at the beginning counts itself.
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%b" % (length, rest)
