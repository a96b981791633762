"""Rewrites the headers of a tar archive while it is read; everything else of it stays as it is, to the byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.tar import Readable

BLOCK = 512
_PIECE_SIZE = 1 << 20
# Headers that describe the member after them (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html; GNU tar).
_PREFIXES = (b"x", b"g", b"L", b"K")
_PREFIX_LIMIT = 1 << 20

Prefixes = Sequence["tuple[bytes, bytes]"]
"""Headers that describe the member after them, each with its content."""
Change = Callable[[Prefixes, bytes], "bytes | None"]
"""From the headers of a member to what stands in their place; `None` leaves the member out."""


class RewrittenArchive:
    """An archive whose members went through `change`; read like any stream."""

    def __init__(self, stream: Readable, change: Change) -> None:
        self._pieces = _rewrite(stream, change)
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


def _rewrite(stream: Readable, change: Change) -> Iterator[bytes]:
    while True:
        header = _read(stream, BLOCK)
        prefixes: list[tuple[bytes, bytes]] = []
        while header[156:157] in _PREFIXES:
            size = size_of(header)
            if size > _PREFIX_LIMIT:
                raise BrokenImage("a layer of the built image", "has a header that is too large")
            prefixes.append((header, _read(stream, size + -size % BLOCK)))
            header = _read(stream, BLOCK)
        if header.count(0) == BLOCK:
            yield header
            break
        size = size_of(header)
        remaining = size + -size % BLOCK if header[156:157] in (b"0", b"\0", b"7") else 0
        changed = change(prefixes, header)
        if changed is not None:
            yield changed
        while remaining:
            piece = _read(stream, min(_PIECE_SIZE, remaining))
            remaining -= len(piece)
            if changed is not None:
                yield piece
    while piece := stream.read(_PIECE_SIZE):
        yield piece


def join(prefixes: Prefixes, header: bytes) -> bytes:
    """Return the headers of a member as they stand in an archive."""
    return b"".join((*(part for pair in prefixes for part in pair), header))


def without_records(prefixes: Prefixes, is_unwanted: Callable[[bytes], bool]) -> list[tuple[bytes, bytes]]:
    """Return the headers without the records (`ctime=1084839148.12`) of extended ones that are not wanted."""
    cleaned = []
    for header, content in prefixes:
        if header[156:157] != b"x":
            cleaned.append((header, content))
            continue
        records = list(_split_records(content[: size_of(header)]))
        kept = b"".join(record for record in records if not is_unwanted(record.partition(b" ")[2]))
        if kept:
            changed = with_fields(header, {124: b"%011o\0" % len(kept)})
            cleaned.append((changed, kept + bytes(-len(kept) % BLOCK)))
    return cleaned


def with_fields(header: bytes, fields: dict[int, bytes]) -> bytes:
    """Return a header with other content at these places."""
    for place, content in fields.items():
        header = header[:place] + content + header[place + len(content) :]
    checksum = sum(header[:148]) + sum(b" " * 8) + sum(header[156:])
    return header[:148] + b"%06o\0 " % checksum + header[156:]


def name_of(prefixes: Prefixes, header: bytes) -> bytes:
    """Return the name of a member, without a slash at its end."""
    name = header[0:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and (directory := header[345:500].partition(b"\0")[0]):
        name = directory + b"/" + name
    for prefix, content in prefixes:
        if prefix[156:157] == b"L":
            name = content[: size_of(prefix)].rstrip(b"\0")
        elif prefix[156:157] == b"x":
            records = (record.partition(b" ")[2] for record in _split_records(content[: size_of(prefix)]))
            name = next((one[5:-1] for one in records if one.startswith(b"path=")), name)
    return name.rstrip(b"/")


def size_of(header: bytes) -> int:
    """Return the size that a header says."""
    return number_of(header[124:136])


def number_of(field: bytes) -> int:
    """Return the number in a field of a header. Raises `BrokenImage`."""
    if field[:1] and field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError as err:
        raise BrokenImage("a layer of the built image", "has a malformed number") from err


def _split_records(rest: bytes) -> Iterator[bytes]:
    while rest:
        # `25 ctime=1084839148.1212\n`, the length counts itself
        digits = rest.partition(b" ")[0]
        if not digits.isdigit() or not len(digits) < int(digits) <= len(rest):
            raise BrokenImage("a layer of the built image", "has a malformed extended header")
        yield rest[: int(digits)]
        rest = rest[int(digits) :]


def _read(stream: Readable, size: int) -> bytes:
    parts = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise BrokenImage("a layer of the built image", "ends in the middle of a member")
        parts.append(piece)
        size -= len(piece)
    return b"".join(parts)
