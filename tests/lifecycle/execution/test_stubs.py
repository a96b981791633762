"""What buildah only needed to mount on is left out of its layers; nothing else is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence

import pytest

from lifecycle.execution.stubs import WithoutStubs
from lifecycle.oci.errors import BrokenImage


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o755, size: int = 0, uid: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.uid = kind, mode, size, uid
    info.mtime = 1.5  # as Go writes it, with a header of its own
    return info


def archive(members: Sequence[tarfile.TarInfo], *, layout: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as stream:
        for info in members:
            stream.addfile(info, io.BytesIO(b"x" * info.size))
    return buffer.getvalue()


def filtered(content: bytes, *, size: int = 1000) -> bytes:
    stream = WithoutStubs(io.BytesIO(content))
    parts = []
    while piece := stream.read(size):
        assert len(piece) <= size
        parts.append(piece)
    return b"".join(parts)


DIRECTORY = tarfile.DIRTYPE
STUBS = [member("etc/hosts"), member("etc/hostname"), member("etc/resolv.conf")]


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_stubs_are_left_out_and_the_rest_is_the_same_to_the_byte(layout: int) -> None:
    kept = [
        member("dev", DIRECTORY),
        member("etc", DIRECTORY),
        member("etc/hosts.allow"),
        member("long/" * 60 + "name", size=5000),
        member("usr/" + "é" * 60, size=513),
        member("link", tarfile.SYMTYPE),
    ]
    both = [*kept[:2], *STUBS, *kept[2:4], member("run", DIRECTORY), member("run/.containerenv"), *kept[4:]]
    # What follows the end is padding of the writer's record size.
    assert filtered(archive(both, layout=layout)).rstrip(b"\0") == archive(kept, layout=layout).rstrip(b"\0")


@pytest.mark.parametrize(
    "members",
    [
        [member("etc/hosts", size=1)],
        [member("etc/hosts", mode=0o644)],
        [member("etc/hosts", uid=1)],
        [member("etc/hosts", tarfile.SYMTYPE)],
        [member("srv/etc/hosts")],
        [member("run", DIRECTORY), member("run/lock", DIRECTORY)],
        [member("run", DIRECTORY, mode=0o700)],
        [member("run", tarfile.SYMTYPE)],
        [member("x" * 150 + "/etc/hosts")],
        [],
    ],
)
def test_what_is_no_stub_stays(members: list[tarfile.TarInfo]) -> None:
    content = archive(members)
    assert filtered(content) == content


def test_notes_of_the_overlay_are_left_out_and_other_attributes_are_not() -> None:
    members: list[tarfile.TarInfo] = []
    expected: list[tarfile.TarInfo] = []
    kept: dict[str, dict[str, str]] = {
        "only": {},
        "both": {"SCHILY.xattr.user.mine": "user.overlay.opaque"},
        "x" * 200: {},
    }
    for name, other in kept.items():
        notes = {"SCHILY.xattr.user.overlay.origin": "", "SCHILY.xattr.user.overlay.impure": "y"}
        for found, headers in ((members, {**notes, **other}), (expected, other)):
            info = tarfile.TarInfo(name)
            info.type, info.pax_headers = DIRECTORY, headers
            found.append(info)
    assert filtered(archive(members)).rstrip(b"\0") == archive(expected).rstrip(b"\0")


def test_a_malformed_extended_header_is_an_error() -> None:
    info = tarfile.TarInfo("directory")
    info.type, info.pax_headers = DIRECTORY, {"SCHILY.xattr.user.overlay.impure": "y"}
    for wrong in (b"99", b"x1"):
        content = bytearray(archive([info]))
        content[512:514] = wrong
        with pytest.raises(BrokenImage):
            filtered(bytes(content))


def test_the_directory_of_a_stub_at_the_end() -> None:
    content = archive([member("x"), member("run", DIRECTORY)])
    assert filtered(content).rstrip(b"\0") == archive([member("x")]).rstrip(b"\0")


@pytest.mark.parametrize("content", [b"", b"x" * 100, archive([member("x", size=5000)])[:2000], b"\xff" * 1024])
def test_a_broken_archive_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenImage):
        filtered(content)
