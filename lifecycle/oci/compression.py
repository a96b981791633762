"""How the blob of a layer is compressed, and its content.

gzip is what every engine reads; it carries no name and no time here. zstd is a fourth smaller and takes a little longer; Docker
reads it from version 23 on.
"""

from __future__ import annotations

from enum import Enum
from gzip import BadGzipFile
from typing import BinaryIO, Protocol, cast

from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError

from lifecycle.oci.descriptor import GZIP_LAYER_TYPE, ZSTD_LAYER_TYPE
from lifecycle.oci.tar import Readable

_GZIP_LEVEL = 2
# Window bits of the gzip format, https://docs.python.org/3/library/zlib.html#zlib.compressobj
_GZIP_FORMAT = 31
_ZSTD_LEVEL = 3
# isal's type stub calls the class an instance.
_IsalError = cast("type[Exception]", IsalError)


class Compression(str, Enum):
    """The kinds that layers are written with."""

    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> str:
        """Of a layer with this compression."""
        return GZIP_LAYER_TYPE if self is Compression.GZIP else ZSTD_LAYER_TYPE


class Compressor(Protocol):
    """Compresses one stream, releasing the interpreter's lock."""

    def compress(self, data: memoryview, /) -> bytes:
        """Return what can be said so far."""

    def flush(self) -> bytes:
        """Return the rest."""


class DamagedLayer(Exception):
    """A blob is not the compressed file that its media type says. The text says what is wrong."""


def make_compressor(compression: Compression) -> Compressor:
    """Return a compressor; the same content in the same pieces gives the same bytes."""
    if compression is Compression.GZIP:
        made: Compressor = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_FORMAT)
        return made
    import zstandard  # rarely wanted

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj()


def open_layer(stream: BinaryIO, media_type: str) -> Readable:
    """Return the tar in a layer's blob. Reading it raises `DamagedLayer`."""
    if media_type == GZIP_LAYER_TYPE:
        plain: Readable = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
        return _Guarded(plain, EOFError, BadGzipFile, _IsalError)
    if media_type == ZSTD_LAYER_TYPE:
        import zstandard  # rarely wanted

        reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        return _Guarded(reader, zstandard.ZstdError)
    return stream


class _Guarded:
    """A stream whose own errors become `DamagedLayer`."""

    def __init__(self, stream: Readable, *errors: type[Exception]) -> None:
        self._stream = stream
        self._errors = errors

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except self._errors as err:
            raise DamagedLayer(str(err)) from err
