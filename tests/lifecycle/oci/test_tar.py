from __future__ import annotations

import contextlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.oci.errors import OciError
from lifecycle.oci.tar import MemberKind, TarReader


def read(content: bytes) -> list[tuple[bytes, MemberKind, bytes, bytes]]:
    reader = TarReader(io.BytesIO(content), source="test")
    return [(found.name, found.kind, found.link, reader.read(limit=1 << 20)) for found in reader]


def archive(members: list[tuple[str, bytes]], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as written:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            written.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_long_names_is_read(form: int) -> None:
    name = "d" * 90 + "/" + "n" * 90
    assert read(archive([("a", b"1"), (name, b"x" * 600)], form)) == [
        (b"a", MemberKind.FILE, b"", b"1"),
        (name.encode(), MemberKind.FILE, b"", b"x" * 600),
    ]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_very_long_and_foreign_names_are_read(form: int) -> None:
    for name in ("n" * 3000, "é" * 200, "new\nline" * 30):
        assert read(archive([(name, b"1")], form))[0][0] == name.encode()


def header(**fields: bytes) -> bytes:
    block = bytearray(archive([("name", b"")], tarfile.USTAR_FORMAT)[:512])
    places = {"name": (0, 100), "size": (124, 12), "kind": (156, 1), "link": (157, 100)}
    for key, value in fields.items():
        start, length = places[key]
        block[start : start + length] = value.ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(size=b"\xff" * 12), "negative"),
        (header(size=b"\x80" + b"\xff" * 11), "too large"),
        (header(size=b"-0000000001"), "malformed number"),
        (header(size=b"9"), "malformed number"),
        (header(size=b"00000002000"), "in the middle"),
        (header(name=b""), "name is empty"),
        (header(kind=b"S"), "sparse"),
        (header(kind=b"Z"), "unknown type"),
        (header(kind=b"L", size=b"77777777777"), "where 1048576 are the most"),
        (header(kind=b"x", size=b"3") + b"999".ljust(512, b"\0") + header(), "malformed"),
        (header(kind=b"x", size=b"6") + b"6 a=b\n".ljust(512, b"\0"), "ends after a header"),
        (header(kind=b"g", size=b"13") + b"11 path=/et\n\0".ljust(512, b"\0") + header(), "malformed|same name"),
        (header()[:-1] + b"x", "checksum"),
        (b"x" * 512, "checksum"),
        (header()[:300], "in the middle"),
    ],
)
def test_a_malformed_archive_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(OciError, match=message):
        read(content)


def test_an_empty_archive_has_no_members() -> None:
    assert read(b"") == []
    assert read(bytes(1024) + b"trailing garbage") == []


@given(st.binary(max_size=2048), st.integers(0, 1500))
def test_no_damage_leads_to_anything_but_an_error(noise: bytes, position: int) -> None:
    content = bytearray(archive([("a" * 150, b"x" * 700), ("b", b"y")], tarfile.PAX_FORMAT))
    content[position : position + len(noise)] = noise
    with contextlib.suppress(OciError):
        read(bytes(content))
