"""Blobs that were pulled, by their digest, for every image of this machine.

A directory as in an OCI image layout: `blobs/sha256/<digest>`. A blob is under its name when all of it is there and was verified.
What a broken or killed transfer has left, `.partial-<digest>`, is continued by the next one, whichever process does it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.oci.alone import is_at
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.document import SIZE_LIMIT

_PIECE_SIZE = 1 << 20
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStore:
    """The blobs in `directory`."""

    directory: Path

    def path(self, digest: Digest) -> Path:
        """Return where the blob is, or will be."""
        return self.directory / "blobs" / digest.algorithm / digest.hex

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether the blob is there in its size; it is now one that is in use."""
        path = self.path(descriptor.digest)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_size != descriptor.size:
            return False
        # When it was last used, for `forget_unused`.
        with contextlib.suppress(PermissionError):
            os.utime(path)
        return True

    def read(self, digest: Digest) -> bytes | None:
        """Return a document, verified; `None` where it is not there or not what it was."""
        path = self.path(digest)
        try:
            with path.open("rb") as stream:
                content = stream.read(SIZE_LIMIT + 1)
        except FileNotFoundError:
            return None
        if hashlib.new(digest.algorithm, content, usedforsecurity=False).hexdigest() != digest.hex:
            return None
        with contextlib.suppress(PermissionError):
            os.utime(path)
        return content

    def write(self, digest: Digest, content: bytes) -> None:
        """Keep a document, which is what its digest says."""
        with self.partial(digest, while_waiting=lambda: None) as partial:
            if partial is not None:
                partial.restart()
                partial.write(content)
                partial.keep()

    def take(self, descriptor: Descriptor, source: Path) -> None:
        """Move a blob here, which was verified, from a file of the same file system."""
        if not self.has(descriptor):
            path = self.path(descriptor.digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)
            os.utime(path)

    @contextlib.contextmanager
    def partial(self, digest: Digest, *, while_waiting: Callable[[], object]) -> Iterator[Partial | None]:
        """What there is of the blob, for this thread alone until the context ends; `None` when it has become whole meanwhile.

        `while_waiting` is called while another has it, and may raise.
        """
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.with_name(f".partial-{digest.hex}")
        while True:
            descriptor = os.open(place, _FLAGS, 0o644)
            try:
                while not _lock(descriptor):
                    while_waiting()
                    time.sleep(_POLL_S)
                # The one who had it may have renamed it to its name, or removed it.
                if is_at(descriptor, place):
                    yield Partial(descriptor=descriptor, place=place, path=path, algorithm=digest.algorithm)
                    return
                if path.exists():
                    yield None
                    return
            finally:
                os.close(descriptor)

    def forget_unused(self, older_than_s: float) -> None:
        """Remove what nobody has used for so long."""
        for path in self.directory.glob("blobs/*/*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > older_than_s:
                    path.unlink()


class Partial:
    """A blob on its way."""

    def __init__(self, *, descriptor: int, place: Path, path: Path, algorithm: str) -> None:
        self._descriptor = descriptor
        self._place = place
        self._path = path
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self.size = 0

    @property
    def digest(self) -> Digest:
        """Digest of what is there."""
        return Digest(self._algorithm, self._hash.hexdigest())

    def resume(self, limit: int) -> None:
        """Take what an earlier transfer has left, unless it is more than `limit` bytes."""
        if os.fstat(self._descriptor).st_size > limit:
            self.restart()
            return
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while piece := os.read(self._descriptor, _PIECE_SIZE):
            self._hash.update(piece)
            self.size += len(piece)

    def restart(self) -> None:
        """Begin anew."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self.size = 0

    def write(self, content: bytes) -> None:
        """Add what has come."""
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._hash.update(content)
        self.size += len(content)

    def keep(self) -> None:
        """Give it its name: it is whole and what its digest says."""
        self._place.replace(self._path)

    def discard(self) -> None:
        """Remove it: it is not what it should be."""
        self._place.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
