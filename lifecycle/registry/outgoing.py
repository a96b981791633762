"""Blobs as they are sent: read anew for each attempt, and never whole where they are not what they should be."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lifecycle.cnb.digest import Digest
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.errors import BlobMismatch

# Small enough that the time limit of one piece tells a slow connection from one that has died
_PIECE_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What is put into a registry: a file or a document. `what` is for messages."""

    descriptor: Descriptor
    content: Path | bytes
    what: str

    def open(self) -> BinaryIO:
        """Return its bytes, from the beginning. Raises `OSError`."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")


class Unreadable(Exception):
    """A blob cannot be read on this machine; `error` says why. Not an `OSError`, which would be one of the connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Rest:
    """What of a blob stands behind `start`. `on_position` gets how far the blob has been sent, and may raise."""

    def __init__(self, blob: Blob, start: int, on_position: Callable[[int], object]) -> None:
        self._blob = blob
        self._start = start
        self._on_position = on_position

    def __len__(self) -> int:
        return self._blob.descriptor.size - self._start

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. The last one is given when all of the blob is known to be right.

        Raises:
            BlobMismatch: the blob is not what its descriptor says.
            Unreadable: it cannot be read.
        """
        expected = self._blob.descriptor
        found = hashlib.new(expected.digest.algorithm, usedforsecurity=False)
        position, held = 0, b""
        for piece in self._pieces():
            found.update(piece)
            position += len(piece)
            if position > expected.size:
                break
            if held:
                yield held
                self._on_position(position - len(piece))
            # All of it, or what is behind the start.
            held = piece[-min(len(piece), position - self._start) :] if position > self._start else b""
        if (position, found.hexdigest()) != (expected.size, expected.digest.hex):
            digest = Digest(expected.digest.algorithm, found.hexdigest())
            raise BlobMismatch(
                subject=str(self._blob.content) if isinstance(self._blob.content, Path) else self._blob.what,
                expected_digest=str(expected.digest),
                found_digest=str(digest) if position == expected.size else None,
                expected_size=expected.size,
                found_size=position,
            )
        yield held

    def _pieces(self) -> Iterator[bytes]:
        try:
            with self._blob.open() as stream:
                while piece := stream.read(_PIECE_SIZE):
                    yield piece
        except OSError as err:
            raise Unreadable(err) from err
