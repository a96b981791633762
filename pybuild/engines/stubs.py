"""Leaves out of buildah's layers what is its own and its storage's: what it put there to have something to mount on, as BuildKit
does, and the notes of the overlay file system.

Where a base has no `/etc/hosts`, say, buildah makes an empty file (of the odd mode 0755) that a command never sees, because the
sandbox's own is mounted on it, and that is part of the layer. An overlay that is mounted in a user namespace keeps its notes in
extended attributes that are anybody's (https://docs.kernel.org/filesystems/overlayfs.html, `userxattr`), and buildah 1.28 archives
them. Everything else of the archive stays as it is, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.tar import Readable

_FILES = frozenset({b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"run/.containerenv"})
_DIRECTORY = b"run"
_MODE = 0o755
_BLOCK = 512
_PIECE_SIZE = 1 << 20
# Headers that describe the member after them (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html; GNU tar).
_PREFIXES = (b"x", b"g", b"L", b"K")
_PREFIX_LIMIT = 1 << 20
_NOTES = b"SCHILY.xattr.user.overlay."


class WithoutStubs:
    """An archive without the stubs; read like any stream."""

    def __init__(self, stream: Readable) -> None:
        self._pieces = _filter(stream)
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end. Raises `BrokenImage`."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        content, self._rest = self._rest[:size], self._rest[size:]
        return content


def _filter(stream: Readable) -> Iterator[bytes]:
    # `run` is a stub if nothing comes in it, which the member after it tells.
    held = b""
    while True:
        header = _read(stream, _BLOCK)
        prefix = b""
        while header[156:157] in _PREFIXES:
            size = _size(header)
            if size > _PREFIX_LIMIT:
                raise BrokenImage("a layer of the built image", "has a header that is too large")
            prefix += _without_notes(header, _read(stream, size + -size % _BLOCK))
            header = _read(stream, _BLOCK)
        name, kind, size = _name(header, prefix), header[156:157], _size(header)
        if name in _FILES and kind in (b"0", b"\0") and size == 0 and _is_stub(header):
            continue
        if held and name.startswith(_DIRECTORY + b"/"):
            yield held
        held = b""
        if name == _DIRECTORY and kind == b"5" and _is_stub(header):
            held = prefix + header
            continue
        yield prefix + header
        if header.count(0) == _BLOCK:
            break
        remaining = size + -size % _BLOCK if kind in (b"0", b"\0", b"7") else 0
        while remaining:
            piece = _read(stream, min(_PIECE_SIZE, remaining))
            remaining -= len(piece)
            yield piece
    while piece := stream.read(_PIECE_SIZE):
        yield piece


def _without_notes(header: bytes, content: bytes) -> bytes:
    """An extended header with its content, or what is left of it."""
    if header[156:157] != b"x" or _NOTES not in content:
        return header + content
    kept, rest = b"", content[: _size(header)]
    while rest:
        # `25 ctime=1084839148.1212\n`, the length counts itself
        length = _record_length(rest)
        record, rest = rest[:length], rest[length:]
        if not record.partition(b" ")[2].startswith(_NOTES):
            kept += record
    if not kept:
        return b""
    header = header[:124] + b"%011o\0" % len(kept) + header[136:]
    checksum = sum(header[:148]) + sum(b" " * 8) + sum(header[156:])
    header = header[:148] + b"%06o\0 " % checksum + header[156:]
    return header + kept + bytes(-len(kept) % _BLOCK)


def _record_length(records: bytes) -> int:
    digits = records.partition(b" ")[0]
    if not digits.isdigit() or not len(digits) < int(digits) <= len(records):
        raise BrokenImage("a layer of the built image", "has a malformed extended header")
    return int(digits)


def _is_stub(header: bytes) -> bool:
    return _number(header[100:108]) & 0o7777 == _MODE and _number(header[108:116]) == 0 == _number(header[116:124])


def _name(header: bytes, prefix: bytes) -> bytes:
    # A name that needs a header of its own is none of those that are looked for.
    if b" path=" in prefix or prefix[156:157] == b"L":
        return b""
    return header[0:100].partition(b"\0")[0].rstrip(b"/")


def _size(header: bytes) -> int:
    return _number(header[124:136])


def _number(field: bytes) -> int:
    if field[:1] and field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError as err:
        raise BrokenImage("a layer of the built image", "has a malformed number") from err


def _read(stream: Readable, size: int) -> bytes:
    parts = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise BrokenImage("a layer of the built image", "ends in the middle of a member")
        parts.append(piece)
        size -= len(piece)
    return b"".join(parts)
