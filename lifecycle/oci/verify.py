"""Reads blobs of images that others wrote: sizes and digests are checked, links are not followed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lifecycle.cnb.digest import Digest
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.document import SIZE_LIMIT
from lifecycle.oci.errors import BlobMismatch, BrokenImage, ImageNotFound

_PIECE_SIZE = 1 << 20


def open_regular(path: Path) -> BinaryIO:
    """Return a regular file, open for reading. Raises `ImageNotFound`, `BrokenImage`; a link or a FIFO in its place is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise ImageNotFound(str(path), "does not exist") from err
    except OSError as err:
        raise BrokenImage(str(path), f"cannot be read: {err.strerror}") from err
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise BrokenImage(str(path), "is not a regular file")
    return stream


def read_document(path: Path) -> bytes:
    """Return a small file, whole. Raises `ImageNotFound`, `BrokenImage`."""
    with open_regular(path) as stream:
        content = stream.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        raise BrokenImage(str(path), f"is larger than {SIZE_LIMIT} bytes")
    return content


def verify_content(content: bytes, descriptor: Descriptor, *, subject: str) -> bytes:
    """Return `content`, which is what `descriptor` says. Raises `BlobMismatch`."""
    digest = hashlib.new(descriptor.digest.algorithm, content, usedforsecurity=False).hexdigest()
    _compare(descriptor, digest, len(content), subject=subject)
    return content


def verify_stream(
    stream: BinaryIO, descriptor: Descriptor, *, subject: str, write: Callable[[bytes], object] | None = None
) -> None:
    """Read the rest of `stream`, hand it to `write`, and raise `BlobMismatch` where it is not what `descriptor` says."""
    digest = hashlib.new(descriptor.digest.algorithm, usedforsecurity=False)
    size = 0
    while size <= descriptor.size and (piece := stream.read(_PIECE_SIZE)):
        size += len(piece)
        digest.update(piece)
        if write is not None:
            write(piece)
    _compare(descriptor, digest.hexdigest(), size, subject=subject)


def verify_file(path: Path, descriptor: Descriptor, *, subject: str) -> None:
    """Raise `BlobMismatch` where the file is not what `descriptor` says; its size is looked at first."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size != descriptor.size:
            _compare(descriptor, None, size, subject=subject)
        verify_stream(stream, descriptor, subject=subject)


def _compare(descriptor: Descriptor, hexadecimal: str | None, size: int, *, subject: str) -> None:
    expected = descriptor.digest
    if size == descriptor.size and hexadecimal == expected.hex:
        return
    raise BlobMismatch(
        subject=subject,
        expected_digest=str(expected),
        # A hash of a part of what is there says nothing.
        found_digest=str(Digest(expected.algorithm, hexadecimal)) if hexadecimal and size == descriptor.size else None,
        expected_size=descriptor.size,
        found_size=size,
    )
