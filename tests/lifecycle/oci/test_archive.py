from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.oci.archive import PIECE_SIZE, ROOT, Owner, Select, TarWriter, select_all
from lifecycle.oci.blob import write_layer_blob, write_layer_blobs
from lifecycle.oci.errors import ArchiveError

OWNER = Owner(user_id=1000, group_id=1001)
PLACE = PurePosixPath("/layers/bp/layer")


def archive_of(tree: Path, *, select: Select = select_all, skipped: list[Path] | None = None) -> bytes:
    pieces: list[bytes] = []
    writer = TarWriter(lambda piece: pieces.append(bytes(piece)), on_skip=None if skipped is None else skipped.append)
    writer.parents(PLACE, OWNER)
    writer.tree(tree, PLACE, OWNER, select=select)
    writer.finish()
    assert all(len(piece) == PIECE_SIZE for piece in pieces[:-1])
    return b"".join(pieces)


def members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {info.name: info for info in archive}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b/empty").mkdir(parents=True)
    (root / "b/file").write_text("content")
    (root / "b/program").write_text("#!/bin/sh\n")
    (root / "b/program").chmod(0o755)
    (root / "a").symlink_to("/etc/passwd")
    (root / "c").symlink_to("b/file")
    os.link(root / "b/file", root / "b/hard")
    return root


def test_members_are_sorted_owned_and_of_one_time(tree: Path) -> None:
    found = members(archive_of(tree))
    assert list(found) == [
        "layers",
        "layers/bp",
        "layers/bp/layer",
        *(f"layers/bp/layer/{name}" for name in ("a", "b", "b/empty", "b/file", "b/hard", "b/program", "c")),
    ]
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in found.values()} == {
        (1000, 1001, "", "", 315532801)
    }
    assert found["layers/bp/layer/b/program"].mode == 0o755
    assert found["layers/bp/layer/b/hard"].isreg()
    assert found["layers/bp/layer/a"].linkname == "/etc/passwd"


def test_time_directory_umask_and_set_group_id_do_not_matter(tree: Path, tmp_path: Path) -> None:
    before = archive_of(tree)
    os.utime(tree / "b/file", (1, 1))
    os.utime(tree / "b", (2**33, 2**33))
    (tree / "b").chmod(0o2755)
    moved = tmp_path / "elsewhere"
    tree.rename(moved)
    old = os.umask(0o077)
    try:
        assert archive_of(moved) == before
    finally:
        os.umask(old)


@pytest.mark.parametrize(
    "name",
    [
        b"new\nline",
        b"esc\x1b[31m",
        b"\xff\xfe",
        b"-rf",
        b"n" * 255,
        "é".encode() * 60,
        b"/".join([b"d" * 90] * 3),
        b"/".join([b"x" * 200] * 10),
        b"d" * 120 + b"/f",
    ],
)
def test_names_are_kept_to_the_byte(tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path / "tree") + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as stream:
        stream.write("x")
    os.symlink(name, os.fsencode(tmp_path / "tree") + b"/zz-link")
    content = archive_of(tmp_path / "tree")
    found = members(content)
    expected = os.fsdecode(b"layers/bp/layer/" + name)
    assert found[expected].size == 1
    assert found["layers/bp/layer/zz-link"].linkname == os.fsdecode(name)
    # GNU tar is of the same opinion.
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-x", "-C", str(unpacked)], input=content, check=True)
    assert os.path.exists(os.fsencode(unpacked) + b"/layers/bp/layer/" + name)


def test_large_sizes_get_a_pax_header() -> None:
    pieces: list[bytes] = []
    writer = TarWriter(lambda piece: pieces.append(bytes(piece)))
    size = 2**33 + 1
    writer.stream(PurePosixPath("large"), size, ROOT, lambda write: None)
    writer.finish()
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert archive.next().size == size  # type: ignore[union-attr]


def test_what_is_no_file_is_reported_and_never_opened(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tree, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
        skipped: list[Path] = []
        found = members(archive_of(tree, skipped=skipped))
    assert sorted(path.name for path in skipped) == ["fifo", "socket"]
    assert not {"layers/bp/layer/fifo", "layers/bp/layer/socket"} & found.keys()


@pytest.mark.parametrize("name", [".wh.foo", ".wh..wh..opq"])
def test_a_name_that_means_a_removal_is_refused(tree: Path, name: str) -> None:
    (tree / "b" / name).touch()
    with pytest.raises(ArchiveError, match=r"\.wh\.") as caught:
        archive_of(tree)
    assert caught.value.subject.endswith(f"/b/{name}")
    assert caught.value.exit_code == 62


def test_a_file_that_changes_while_it_is_read_is_found(tree: Path) -> None:
    target = tree / "b/file"
    target.write_bytes(b"x" * (3 * PIECE_SIZE))

    def emit(piece: memoryview) -> None:
        with target.open("ab") as stream:
            stream.write(b"more")

    with pytest.raises(ArchiveError, match="changes while it is read"):
        TarWriter(emit).tree(tree, PLACE, OWNER)


def test_a_selection_brings_the_directories_it_needs(tree: Path) -> None:
    found = members(archive_of(tree, select=lambda path: path == b"b/file"))
    assert [name for name in found if name.startswith("layers/bp/layer/")] == [
        "layers/bp/layer/b",
        "layers/bp/layer/b/file",
    ]
    rest = members(archive_of(tree, select=lambda path: path != b"b/file"))
    assert "layers/bp/layer/b/empty" in rest
    assert "layers/bp/layer/b/file" not in rest


def test_a_directory_whose_content_is_elsewhere_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/file").touch()
    assert "layers/bp/layer/d" not in members(archive_of(tmp_path / "tree", select=lambda path: path == b"d"))


def test_the_blob_is_named_by_its_digest_and_nothing_else_is_left(tree: Path, tmp_path: Path) -> None:
    (tree / "big").write_bytes(os.urandom(5 * PIECE_SIZE + 17))
    blobs = tmp_path / "blobs"
    blob = write_layer_blob(blobs, lambda archive: archive.tree(tree, PLACE, OWNER))
    assert [path.name for path in blobs.iterdir()] == [hashlib.sha256(blob.path.read_bytes()).hexdigest()]
    assert blob.path.name == blob.descriptor.digest.hex
    assert blob.path.stat().st_size == blob.descriptor.size
    plain = subprocess.run(["gzip", "-dc", str(blob.path)], capture_output=True, check=True).stdout
    assert hashlib.sha256(plain).hexdigest() == blob.diff_id.hex
    assert len(plain) == blob.uncompressed_size
    header = blob.path.read_bytes()[:10]
    assert header[3:8] == b"\0\0\0\0\0", "no name and no time in the gzip header"
    assert blob.path.stat().st_mode & 0o777 == 0o644


def test_the_same_tree_gives_the_same_blob(tree: Path, tmp_path: Path) -> None:
    (tree / "big").write_bytes(b"some text " * PIECE_SIZE)
    first, second = (
        write_layer_blob(tmp_path / name, lambda archive: archive.tree(tree, PLACE, OWNER)) for name in ("1", "2")
    )
    assert first.descriptor == second.descriptor


def test_blobs_that_are_written_together_are_those_that_are_written_alone(tmp_path: Path) -> None:
    def filler(number: int) -> Callable[[TarWriter], None]:
        content = bytes([number]) * (number * 100_000) + b"x" * (PIECE_SIZE if number % 5 else 0)
        return lambda archive: archive.file(PurePosixPath(f"f{number}"), content, ROOT)

    fills = [filler(number) for number in range(30)]
    together = write_layer_blobs(tmp_path / "together", fills)
    alone = [write_layer_blob(tmp_path / "alone", fill) for fill in fills]
    assert [blob.descriptor for blob in together] == [blob.descriptor for blob in alone]
    assert [blob.diff_id for blob in together] == [blob.diff_id for blob in alone]
    assert len(list((tmp_path / "together").iterdir())) == len({blob.path.name for blob in together})


@pytest.mark.parametrize("place", [0, 1, 5])
def test_of_several_blobs_whole_ones_are_left_where_one_fails(tmp_path: Path, place: int) -> None:
    def fill(archive: TarWriter) -> None:
        archive.file(PurePosixPath("f"), b"x" * (3 * PIECE_SIZE), ROOT)

    def fail(archive: TarWriter) -> None:
        fill(archive)
        raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        write_layer_blobs(tmp_path / "blobs", [*[fill] * place, fail, fill])
    for path in (tmp_path / "blobs").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert threading.active_count() <= threads


def test_nothing_is_left_of_a_blob_that_failed(tmp_path: Path) -> None:
    def fill(archive: TarWriter) -> None:
        archive.file(PurePosixPath("f"), b"x" * (3 * PIECE_SIZE), ROOT)
        raise KeyboardInterrupt

    threads = threading.active_count()  # a server of another test may still be ending
    with pytest.raises(KeyboardInterrupt):
        write_layer_blob(tmp_path / "blobs", fill)
    assert list((tmp_path / "blobs").iterdir()) == []
    assert threading.active_count() <= threads


def test_a_full_disk_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    import resource

    def fill(archive: TarWriter) -> None:
        for number in range(64):
            archive.file(PurePosixPath(f"f{number}"), os.urandom(PIECE_SIZE), ROOT)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * PIECE_SIZE, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_layer_blob(tmp_path / "blobs", fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert list((tmp_path / "blobs").iterdir()) == []
