"""Writes the blobs of layers in one pass: tar, diff id, compression, digest.

One thread walks through the files of one layer after the other, since the interpreter runs only one at a time; hashing and
compressing, which release its lock, happen behind it on all cores. A compressed blob depends on the version of its library, and with
gzip on the processor family; a diff id does not.
"""

from __future__ import annotations

import hashlib
import os
import queue
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.oci.archive import PIECE_SIZE, TarWriter
from lifecycle.oci.compression import Compression, make_compressor
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.tar import Readable

# Pieces of 1 MiB that may wait for a thread, of all layers together: the bound of the memory that is used
_PIECES = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A layer blob on disk. `uncompressed_size`: bytes of the tar; `seconds`: from its first byte to its last."""

    descriptor: Descriptor
    diff_id: Digest
    path: Path
    uncompressed_size: int
    seconds: float


def write_layer_blob(
    blobs_dir: Path, fill: Callable[[TarWriter], None], *, on_skip: Callable[[Path], None] | None = None
) -> Blob:
    """Return the blob whose tar `fill` writes, as `write_layer_blobs` does."""
    return write_layer_blobs(blobs_dir, [fill], on_skip=on_skip)[0]


def write_layer_blobs(
    blobs_dir: Path,
    fills: Iterable[Callable[[TarWriter], None]],
    *,
    compression: Compression = Compression.GZIP,
    on_skip: Callable[[Path], None] | None = None,
    check: Callable[[], object] = lambda: None,
) -> list[Blob]:
    """Return the blobs whose tars `fills` write, each in `blobs_dir` under the hexadecimal part of its digest.

    `check` is called again and again; what it raises ends the work.

    Raises what a `fill` raises, and `OSError`; then nothing is left of the blobs that are not whole.
    """
    blobs: list[Blob] = []
    under_way: deque[_Pipeline] = deque()
    room = threading.Semaphore(_PIECES)
    try:
        for fill in fills:
            if len(under_way) > len(os.sched_getaffinity(0)):
                blobs.append(under_way[0].take())
                under_way.popleft()
            pipeline = _Pipeline(blobs_dir, room, compression)
            under_way.append(pipeline)
            writer = TarWriter(_checked(pipeline.put, check), on_skip=on_skip)
            fill(writer)
            writer.finish()
            pipeline.end()
        while under_way:
            check()
            blobs.append(under_way[0].take())
            under_way.popleft()
    finally:
        for pipeline in under_way:
            pipeline.discard()
    return blobs


def _checked(put: Callable[[memoryview], None], check: Callable[[], object]) -> Callable[[memoryview], None]:
    def put_checked(piece: memoryview) -> None:
        check()
        put(piece)

    return put_checked


def hash_layers(fills: Iterable[Callable[[TarWriter], None]]) -> list[Digest]:
    """Return the diff ids of the layers whose tars `fills` write; nothing is compressed. Raises what a `fill` raises."""
    room = threading.Semaphore(_PIECES)
    hashers: list[_Hasher] = []
    try:
        for fill in fills:
            hashers.append(_Hasher(room))
            writer = TarWriter(hashers[-1].put)
            fill(writer)
            writer.finish()
            hashers[-1].end()
        return [hasher.take() for hasher in hashers]
    finally:
        for hasher in hashers:
            hasher.end()


def compress_layer_blob(blobs_dir: Path, stream: Readable, *, compression: Compression = Compression.GZIP) -> Blob:
    """Return the blob of the uncompressed tar in `stream`. Raises `OSError`."""
    pipeline = _Pipeline(blobs_dir, threading.Semaphore(_PIECES), compression)
    try:
        while piece := stream.read(PIECE_SIZE):
            pipeline.put(memoryview(piece))
        pipeline.end()
        return pipeline.take()
    finally:
        pipeline.discard()


class _Pipeline:
    """Hashes and compresses the pieces of one layer, in order, on two threads. `discard` ends it, whatever has happened.

    `room` has a place for each piece that is not through.
    """

    def __init__(self, blobs_dir: Path, room: threading.Semaphore, compression: Compression) -> None:
        blobs_dir.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=blobs_dir)
        self._output = os.fdopen(descriptor, "wb", buffering=0)
        self._temporary = Path(name)
        self._started = self._ended = time.monotonic()
        self._room = room
        self._size = 0
        self._diff_hash = hashlib.sha256()
        self._blob_hash = hashlib.sha256()
        self._failure: BaseException | None = None
        self._media_type = compression.media_type
        self._compressor = make_compressor(compression)
        self._hashing = _Worker(self._diff_hash.update, self._fail)
        self._compressing = _Worker(self._compress, self._fail, at_end=self._finish)

    def put(self, piece: memoryview) -> None:
        """Take a piece; waits until there is room. Raises what has gone wrong with an earlier one."""
        self._room.acquire()
        passage = _Passage(piece, self._room, threads=2)
        if self._failure is not None:
            self._room.release()
            raise self._failure
        self._size += len(piece)
        self._hashing.put(passage)
        self._compressing.put(passage)

    def end(self) -> None:
        """Say that no more pieces come; what is there goes on."""
        self._hashing.put(None)
        self._compressing.put(None)

    def take(self) -> Blob:
        """Return the blob, after `end`, as soon as it is whole. Raises what has gone wrong."""
        self._hashing.join()
        self._compressing.join()
        if self._failure is not None:
            raise self._failure
        digest = Digest("sha256", self._blob_hash.hexdigest())
        path = self._temporary.with_name(digest.hex)
        size = self._output.tell()
        # mkstemp makes files that only their owner reads
        os.fchmod(self._output.fileno(), 0o644)
        self._temporary.replace(path)
        self._output.close()
        return Blob(
            descriptor=Descriptor(media_type=self._media_type, digest=digest, size=size),
            diff_id=Digest("sha256", self._diff_hash.hexdigest()),
            path=path,
            uncompressed_size=self._size,
            seconds=self._ended - self._started,
        )

    def discard(self) -> None:
        """Leave nothing behind, unless it was taken."""
        self._failure = self._failure or InterruptedError()
        self.end()
        self._hashing.join()
        self._compressing.join()
        self._output.close()
        self._temporary.unlink(missing_ok=True)

    def _compress(self, piece: memoryview) -> None:
        if self._failure is None:
            self._store(self._compressor.compress(piece))

    def _finish(self) -> None:
        self._store(self._compressor.flush())
        self._ended = time.monotonic()

    def _store(self, content: bytes) -> None:
        self._blob_hash.update(content)
        view = memoryview(content)
        while view:
            view = view[self._output.write(view) :]

    def _fail(self, err: BaseException) -> None:
        self._failure = self._failure or err


class _Hasher:
    """Hashes the pieces of one layer on a thread. `room` has a place for each piece that is not through."""

    def __init__(self, room: threading.Semaphore) -> None:
        self._room = room
        self._hash = hashlib.sha256()
        self._failure: BaseException | None = None
        self._hashing = _Worker(self._hash.update, self._fail)

    def put(self, piece: memoryview) -> None:
        self._room.acquire()
        self._hashing.put(_Passage(piece, self._room, threads=1))

    def end(self) -> None:
        """Say that no more pieces come."""
        self._hashing.put(None)

    def take(self) -> Digest:
        """Return the hash, after `end`, as soon as it is there. Raises what has gone wrong."""
        self._hashing.join()
        if self._failure is not None:
            raise self._failure
        return Digest("sha256", self._hash.hexdigest())

    def _fail(self, err: BaseException) -> None:
        self._failure = err


class _Passage:
    """A piece on its way through some threads."""

    __slots__ = ("_lock", "_room", "_to_go", "piece")

    def __init__(self, piece: memoryview, room: threading.Semaphore, *, threads: int) -> None:
        self.piece = piece
        self._room = room
        self._lock = threading.Lock()
        self._to_go = threads

    def leave(self) -> None:
        with self._lock:
            self._to_go -= 1
            is_through = self._to_go == 0
        if is_through:
            self._room.release()


class _Worker:
    """A thread that gives what is put to `work`, and calls `at_end` after `None`. After an error it only empties its queue, so that
    nobody waits for it.
    """

    def __init__(
        self,
        work: Callable[[memoryview], object],
        on_error: Callable[[BaseException], None],
        *,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._at_end = at_end
        self._queue: queue.SimpleQueue[_Passage | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, passage: _Passage | None) -> None:
        self._queue.put(passage)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        broken = False
        while (passage := self._queue.get()) is not None:
            broken = broken or not self._try(self._work, passage.piece)
            passage.leave()
        if not broken:
            self._try(self._at_end)

    def _try(self, action: Callable[..., object], *pieces: memoryview) -> bool:
        try:
            action(*pieces)
        except Exception as err:  # handed to the thread that puts
            self._on_error(err)
            return False
        return True
