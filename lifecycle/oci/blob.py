"""Writes the blob of a layer in one pass: tar, diff id, gzip, digest, each on a thread of its own where that helps.

hashlib and isal release the interpreter's lock, so on two cores this takes little longer than reading and hashing alone. gzip
carries no name and no time. A compressed blob depends on the version of isal and on the processor family; a diff id does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from lifecycle.cnb.digest import Digest
from lifecycle.oci.archive import TarWriter
from lifecycle.oci.descriptor import GZIP_LAYER_TYPE, Descriptor
from lifecycle.oci.tar import Readable

_LEVEL = 2
# Window bits of the gzip format, https://docs.python.org/3/library/zlib.html#zlib.compressobj
_GZIP = 31
# Pieces of 1 MiB that may wait for a thread: the bound of the memory that is used
_QUEUE_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A layer blob on disk. `uncompressed_size`: bytes of the tar."""

    descriptor: Descriptor
    diff_id: Digest
    path: Path
    uncompressed_size: int


def write_layer_blob(
    blobs_dir: Path,
    fill: Callable[[TarWriter], None],
    *,
    on_progress: Callable[[int], None] | None = None,
    on_skip: Callable[[Path], None] | None = None,
) -> Blob:
    """Return the blob whose tar `fill` writes; it is in `blobs_dir` under the hexadecimal part of its digest.

    `on_progress` gets the bytes of the tar so far. Raises what `fill` raises, and `OSError`; then nothing is left.
    """
    with _gzip_to(blobs_dir) as (pipeline, take):

        def emit(piece: memoryview) -> None:
            pipeline.put(piece)
            if on_progress is not None:
                on_progress(pipeline.size)

        writer = TarWriter(emit, on_skip=on_skip)
        fill(writer)
        writer.finish()
        return take()


def compress_layer_blob(blobs_dir: Path, stream: Readable) -> Blob:
    """Return the blob of the uncompressed tar in `stream`. Raises `OSError`."""
    with _gzip_to(blobs_dir) as (pipeline, take):
        while piece := stream.read(1 << 20):
            pipeline.put(memoryview(piece))
        return take()


@contextlib.contextmanager
def _gzip_to(blobs_dir: Path) -> Iterator[tuple[_Pipeline, Callable[[], Blob]]]:
    blobs_dir.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=blobs_dir)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as output:
            pipeline = _Pipeline(output)

            def take() -> Blob:
                diff_id, digest = pipeline.finish()
                # mkstemp makes files that only their owner reads
                os.fchmod(output.fileno(), 0o644)
                path = blobs_dir / digest.hex
                temporary.replace(path)
                size = output.tell()
                layer = Descriptor(media_type=GZIP_LAYER_TYPE, digest=digest, size=size)
                return Blob(descriptor=layer, diff_id=diff_id, path=path, uncompressed_size=pipeline.size)

            try:
                yield pipeline, take
            finally:
                pipeline.stop()
    finally:
        temporary.unlink(missing_ok=True)


class _Pipeline:
    """Hashes and compresses pieces, in order, on two threads."""

    def __init__(self, output: BinaryIO) -> None:
        self.size = 0
        self._output = output
        self._diff_hash = hashlib.sha256()
        self._blob_hash = hashlib.sha256()
        self._failure: BaseException | None = None
        self._hashing = _Worker(self._diff_hash.update, self._fail)
        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        self._compressing = _Worker(self._compress, self._fail)

    def put(self, piece: memoryview) -> None:
        if self._failure is not None:
            raise self._failure
        self.size += len(piece)
        self._hashing.put(piece)
        self._compressing.put(piece)

    def finish(self) -> tuple[Digest, Digest]:
        self.stop()
        if self._failure is not None:
            raise self._failure
        self._store(self._compressor.flush())
        return Digest("sha256", self._diff_hash.hexdigest()), Digest("sha256", self._blob_hash.hexdigest())

    def stop(self) -> None:
        self._hashing.stop()
        self._compressing.stop()

    def _compress(self, piece: memoryview) -> None:
        self._store(self._compressor.compress(piece))

    def _store(self, content: bytes) -> None:
        self._blob_hash.update(content)
        view = memoryview(content)
        while view:
            view = view[self._output.write(view) :]

    def _fail(self, err: BaseException) -> None:
        self._failure = self._failure or err


class _Worker:
    """A thread that gives what is put to `work`. After an error it only empties its queue, so that nobody waits for it."""

    def __init__(self, work: Callable[[memoryview], object], on_error: Callable[[BaseException], None]) -> None:
        self._work = work
        self._on_error = on_error
        self._queue: queue.Queue[memoryview | None] = queue.Queue(_QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, piece: memoryview) -> None:
        self._queue.put(piece)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        broken = False
        while (piece := self._queue.get()) is not None:
            if broken:
                continue
            try:
                self._work(piece)
            except Exception as err:  # handed to the thread that puts
                broken = True
                self._on_error(err)
