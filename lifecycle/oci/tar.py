"""Reads tar archives that others wrote, as a stream: ustar, pax and the GNU forms of long names and large numbers.

The standard library's `tarfile` is not used for what is not trusted: it has looped on negative sizes (CVE-2025-8194), believes
sparse maps, and follows links while extracting. Here a member is a name, a kind and so many bytes; anything odd is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lifecycle.oci.errors import BrokenImage, UnsupportedImage

_BLOCK = 512
_PIECE_SIZE = 1 << 20
# Names and pax records come before what they describe and are held in memory.
_RECORD_LIMIT = 1 << 20
# Owner of what has no owner that makes sense.
_NOBODY = 65534


class MemberKind(Enum):
    """What a member is; devices and FIFOs are all OTHER."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARD_LINK = "hard link"
    OTHER = "other"


# `7` is a contiguous file, which nobody makes any more and everybody reads as a file.
_KINDS = {b"0": MemberKind.FILE, b"\0": MemberKind.FILE, b"7": MemberKind.FILE, b"1": MemberKind.HARD_LINK}
_KINDS |= {b"2": MemberKind.SYMLINK, b"5": MemberKind.DIRECTORY, b"3": MemberKind.OTHER, b"4": MemberKind.OTHER}
_KINDS |= {b"6": MemberKind.OTHER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member. `name` and `link` are as they stand in the archive; `offset` is where its `size` bytes begin."""

    name: bytes
    kind: MemberKind
    mode: int
    mtime: int
    size: int
    link: bytes
    offset: int
    user_id: int = 0
    group_id: int = 0


class Readable(Protocol):
    """Where an archive comes from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class TarReader:
    """The members of an archive, in order. The content of one can be read before the next is asked for."""

    def __init__(self, stream: Readable, *, source: str) -> None:
        self._stream = stream
        self._source = source
        self._position = 0
        self._remaining = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        while (header := self._next_header()) is not None:
            overrides: dict[bytes, bytes] = {}
            while (kind := header[156:157]) in (b"x", b"g", b"L", b"K"):
                record = self._record(header)
                if kind == b"x":
                    overrides |= self._pax(record)
                elif kind == b"g":
                    self._reject_global(self._pax(record))
                else:
                    overrides[b"path" if kind == b"L" else b"linkpath"] = record.rstrip(b"\0")
                following = self._next_header()
                if following is None:
                    raise self._broken("ends after a header that describes the next member")
                header = following
            yield self._member(header, overrides)

    def copy(self, write: Callable[[bytes], object]) -> None:
        """Hand the content of the current member to `write`. Raises `BrokenImage`."""
        while self._remaining:
            write(self._read_some(min(_PIECE_SIZE, self._remaining)))

    def read(self, *, limit: int) -> bytes:
        """Return the content of the current member. Raises `BrokenImage` where it has more than `limit` bytes."""
        if self._remaining > limit:
            raise self._broken(f"has a member of {self._remaining} bytes where {limit} are the most that make sense")
        parts: list[bytes] = []
        self.copy(parts.append)
        return b"".join(parts)

    def _member(self, header: bytes, overrides: dict[bytes, bytes]) -> Member:
        if any(key.startswith(b"GNU.sparse.") for key in overrides) or header[156:157] == b"S":
            raise UnsupportedImage(self._source, "has a sparse file, which image layers should not have")
        prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        short = header[0:100].partition(b"\0")[0]
        name = overrides.get(b"path", prefix + b"/" + short if prefix else short)
        kind = _KINDS.get(header[156:157])
        if kind is None:
            raise UnsupportedImage(self._source, f"has a member of the unknown type {header[156:157]!r}")
        if kind is MemberKind.FILE and name.endswith(b"/"):
            kind = MemberKind.DIRECTORY  # as archives older than POSIX say it
        size = self._pax_number(overrides[b"size"]) if b"size" in overrides else self._number(header[124:136])
        link = overrides.get(b"linkpath", header[157:257].partition(b"\0")[0])
        if b"\0" in name or b"\0" in link or not name:
            raise self._broken("has a member whose name is empty or has a NUL byte")
        # Links say sizes without having content.
        content = size if kind is MemberKind.FILE else 0
        self._remaining, self._padding = content, -content % _BLOCK
        mode, mtime = self._number(header[100:108]), self._number(header[136:148])
        return Member(
            name=name,
            kind=kind,
            mode=mode,
            mtime=mtime,
            size=content,
            link=link,
            offset=self._position,
            user_id=self._owner(overrides.get(b"uid"), header[108:116]),
            group_id=self._owner(overrides.get(b"gid"), header[116:124]),
        )

    def _record(self, header: bytes) -> bytes:
        size = self._number(header[124:136])
        self._remaining, self._padding = size, -size % _BLOCK
        return self.read(limit=_RECORD_LIMIT)

    def _pax(self, record: bytes) -> dict[bytes, bytes]:
        records: dict[bytes, bytes] = {}
        while record:
            digits, space, _ = record.partition(b" ")
            length = self._pax_number(digits) if space else 0
            key, equals, value = record[len(digits) + 1 : length - 1].partition(b"=")
            if not equals or length > len(record) or record[length - 1 : length] != b"\n":
                raise self._broken("has a malformed pax header")
            records[key] = value
            record = record[length:]
        return records

    def _reject_global(self, records: dict[bytes, bytes]) -> None:
        if records.keys() & {b"path", b"linkpath", b"size"}:
            raise self._broken("has a pax header that gives the same name to all members")

    def _pax_number(self, digits: bytes) -> int:
        if not digits.isdigit() or len(digits) > 19:
            raise self._broken("has a malformed number")
        return int(digits)

    def _owner(self, text: bytes | None, field: bytes) -> int:
        # Nothing depends on it but who may do what, so no archive is refused for it.
        try:
            return self._number(field) if text is None else self._pax_number(text)
        except BrokenImage:
            return _NOBODY

    def _number(self, field: bytes) -> int:
        if field[0] & 0x80:  # GNU's form of large numbers; the next bit is the sign
            if field[0] & 0x40:
                raise self._broken("has a negative number")
            number = int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
            if number >= 1 << 63:
                raise self._broken("has a number that is too large")
            return number
        digits = field.strip(b" \0")
        try:
            number = int(digits or b"0", 8)
        except ValueError as err:
            raise self._broken("has a malformed number") from err
        if number < 0 or b"_" in digits:
            raise self._broken("has a malformed number")
        return number

    def _next_header(self) -> bytes | None:
        self._skip(self._remaining + self._padding)
        self._remaining = self._padding = 0
        header = self._read_some(_BLOCK, at_end=True)
        if not header or header.count(0) == _BLOCK:
            return None
        while len(header) < _BLOCK:
            header += self._read_some(_BLOCK - len(header))
        self._remaining = 0
        # The checksum counts its own field as spaces; some writers counted the bytes as signed.
        plain = header[:148] + b" " * 8 + header[156:]
        signed = sum(plain) - 256 * sum(byte > 127 for byte in plain)
        if header[148:156].strip(b" \0").lstrip(b"0") not in (b"%o" % sum(plain), b"%o" % max(signed, 0)):
            raise self._broken("is no tar archive, or is damaged: the checksum of a header is wrong")
        return header

    def _skip(self, count: int) -> None:
        self._remaining = count
        self.copy(lambda _: None)

    def _read_some(self, size: int, *, at_end: bool = False) -> bytes:
        content = self._stream.read(size)
        if not content and not at_end:
            raise self._broken("ends in the middle of a member")
        self._position += len(content)
        self._remaining = max(0, self._remaining - len(content))
        return content

    def _broken(self, message: str) -> BrokenImage:
        return BrokenImage(self._source, message)
