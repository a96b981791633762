"""Hostile and odd layers, unpacked for real; bubblewrap keeps the process in."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tarfile
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.compression import Compression
from lifecycle.oci.errors import UnpackFailed
from lifecycle.oci.image import Layer
from lifecycle.oci.unpack import unpack_image
from tests.lifecycle.oci.images import content_of_blob, endless_layer, file_layer, image_of, layer_of, member, tar_layer

DIRECTORY, SYMLINK, HARD_LINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

pytestmark = pytest.mark.integration


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "outer" / "root"


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    """A file outside that hostile layers aim at."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard/v").write_text("untouched")
    return tmp_path / "guard"


def test_layers_are_unpacked_over_each_other(blobs: Path, root: Path) -> None:
    lower = file_layer(blobs, {"etc/a": "1", "etc/b": "1", "opt/d/x": "1", "usr/f": "1"})
    upper = file_layer(blobs, {"etc/b": "2", "opt/.wh.d": "", "usr/.wh.f": "", "usr/f2": "2"})
    unpacked = unpack_image(image_of(lower, upper), root)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "etc/a",
        "etc/b",
        "usr/f2",
    ]
    assert (root / "etc/b").read_text() == "2"
    assert unpacked.skipped == 0


def test_an_image_in_shared_memory_is_unpacked() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        unpack_image(image_of(file_layer(Path(directory, "blobs"), {"etc/a": "1"})), Path(directory, "outer", "root"))
        assert Path(directory, "outer/root/etc/a").read_text() == "1"


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_unpacking_ends_when_nobody_waits_any_more(*, is_cancelled: bool, blobs: Path, root: Path) -> None:
    image = image_of(endless_layer(blobs, 16 << 30))
    cancellation = Cancellation()
    deadline = Deadline(cancellation=cancellation) if is_cancelled else Deadline.after(1)
    if is_cancelled:
        threading.Timer(1, cancellation.cancel).start()
    since = time.monotonic()
    with pytest.raises(CommandTimeout):
        unpack_image(image, root, deadline=deadline)
    assert time.monotonic() - since < 5
    # It had begun, and the process that reads the layer has ended.
    size = (root / "zeros").stat().st_size
    assert size > 0
    time.sleep(0.1)
    assert (root / "zeros").stat().st_size == size


def test_an_opaque_whiteout_hides_what_is_below_and_not_what_is_beside(blobs: Path, root: Path) -> None:
    lower = file_layer(blobs, {"d/old": "1", "d/sub/old": "1"})
    upper = tar_layer(blobs, [member("d/new"), member("d/sub/new"), member("d/.wh..wh..opq")])
    unpack_image(image_of(lower, upper), root)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == ["d/new", "d/sub/new"]


def test_modes_stay_and_privileges_go(blobs: Path, root: Path) -> None:
    layer = tar_layer(
        blobs,
        [
            member("closed", kind=DIRECTORY, mode=0o555),
            member("closed/program", mode=0o4755),
            member("tmp", kind=DIRECTORY, mode=0o1777),
            member("dev/null", kind=tarfile.CHRTYPE),
            member("fifo", kind=tarfile.FIFOTYPE),
        ],
    )
    old = os.umask(0o077)
    try:
        unpacked = unpack_image(image_of(layer), root)
    finally:
        os.umask(old)
    assert (root / "closed").stat().st_mode & 0o7777 == 0o755
    assert (root / "closed/program").stat().st_mode & 0o7777 == 0o755
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert unpacked.skipped == 2
    assert not (root / "fifo").exists()


def test_links_of_honest_images_work(blobs: Path, root: Path) -> None:
    lower = tar_layer(
        blobs,
        [
            member("usr/lib", kind=DIRECTORY, mode=0o755),
            member("lib", kind=SYMLINK, link="usr/lib"),
            member("bin/dash", mode=0o755),
            member("bin/sh", kind=SYMLINK, link="dash"),
            member("bin/hard", kind=HARD_LINK, link="bin/dash"),
            member("deep", kind=SYMLINK, link="../../../../../usr/lib"),
            member("absolute", kind=SYMLINK, link="/usr/lib"),
        ],
    )
    upper = file_layer(blobs, {})
    through = tar_layer(
        blobs, [member("lib/x"), member("deep/y"), member("/absolute/z"), member("./bin/sh", mode=0o755)]
    )
    unpack_image(image_of(lower, upper, through), root)
    assert sorted(path.name for path in (root / "usr/lib").iterdir()) == ["x", "y", "z"]
    assert not (root / "bin/sh").is_symlink()
    assert (root / "bin/hard").stat().st_ino == (root / "bin/dash").stat().st_ino


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/.."])
def test_a_name_that_leads_out_is_refused(blobs: Path, root: Path, name: str) -> None:
    with pytest.raises(UnpackFailed, match="outside of the image"):
        unpack_image(image_of(tar_layer(blobs, [member(name)])), root)
    assert [path.name for path in root.parent.iterdir()] == ["root"]


def test_what_a_lower_layer_planted_leads_nowhere(blobs: Path, root: Path, guard: Path) -> None:
    planted = tar_layer(
        blobs,
        [
            member("etc", kind=SYMLINK, link=str(guard)),
            member("up", kind=SYMLINK, link="../../../../../../../../../.." + str(guard)),
        ],
    )
    used = tar_layer(
        blobs,
        [member("etc/written"), member("etc/.wh.v"), member("up/.wh..wh..opq"), member("up/v")],
    )
    with pytest.raises(UnpackFailed):  # the link leads to a place that this image does not have
        unpack_image(image_of(planted, used), root)
    assert [path.name for path in guard.iterdir()] == ["v"]
    assert (guard / "v").read_text() == "untouched"


def test_a_hard_link_to_the_machine_s_files_is_none(blobs: Path, root: Path, guard: Path) -> None:
    layer = tar_layer(blobs, [member("stolen", kind=HARD_LINK, link=f"{guard}/v")])
    with pytest.raises(UnpackFailed):
        unpack_image(image_of(layer), root)
    assert not (root / "stolen").exists()


def test_a_chain_of_links_longer_than_a_path_stays_inside(blobs: Path, root: Path, guard: Path) -> None:
    # CVE-2025-4517: the standard library's filter resolves such a chain differently from the kernel.
    component, step, members = "d" * 247, "", []
    for letter in "abcdefghijklmnop":
        members.append(member(f"{step}{component}", kind=DIRECTORY, mode=0o755))
        members.append(member(f"{step}{letter}", kind=SYMLINK, link=component))
        step += f"{component}/"
    short = "/".join("abcdefghijklmnop")
    members.append(member(f"{short}/{'l' * 254}", kind=SYMLINK, link="../" * 16))
    members.append(member("escape", kind=SYMLINK, link=f"{short}/{'l' * 254}/.." + str(guard)))
    members.append(member("escape/v"))
    with pytest.raises(UnpackFailed):
        unpack_image(image_of(tar_layer(blobs, members, format=tarfile.PAX_FORMAT)), root)
    assert (guard / "v").read_text() == "untouched"


def test_a_layer_that_is_not_what_its_diff_id_says_is_refused(blobs: Path, root: Path) -> None:
    layer = replace(file_layer(blobs, {"a": "1"}), diff_id=Digest.of(b"other"))
    with pytest.raises(UnpackFailed, match="diff id"):
        unpack_image(image_of(layer), root)


def zstd_layer(blobs: Path, layer: Layer) -> Layer:
    with io.BytesIO(content_of_blob(layer)) as stream:
        blob = compress_layer_blob(blobs, stream, compression=Compression.ZSTD)
    assert blob.path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    return layer_of(blob)


def test_a_layer_compressed_with_zstd_is_unpacked(blobs: Path, root: Path) -> None:
    unpack_image(
        image_of(file_layer(blobs, {"b": "1"}), zstd_layer(blobs, file_layer(blobs, {"a": "1" * 100_000}))), root
    )
    assert (root / "a").read_text() == "1" * 100_000
    assert (root / "b").read_text() == "1"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no gzip"])
@pytest.mark.parametrize("is_zstd", [False, True])
def test_a_damaged_blob_is_one_error(blobs: Path, root: Path, damage: str, is_zstd: bool) -> None:
    layer = file_layer(blobs, {"a": "1" * 100_000, "b": "2"})
    layer = zstd_layer(blobs, layer) if is_zstd else layer
    content = bytearray(layer.path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    layer.path.write_bytes({"truncated": bytes(content[:-20]), "flipped": bytes(content), "no gzip": b"text"}[damage])
    with pytest.raises(UnpackFailed):
        unpack_image(image_of(layer), root)


def test_something_that_is_no_archive_is_one_error(blobs: Path, root: Path) -> None:
    layer = layer_of(compress_layer_blob(blobs, io.BytesIO(b"no archive " * 1000)))
    with pytest.raises(UnpackFailed, match="no tar archive"):
        unpack_image(image_of(layer), root)


def test_a_file_takes_the_place_of_a_directory_and_the_other_way_round(blobs: Path, root: Path) -> None:
    lower = file_layer(blobs, {"a/x/y": "1", "b": "1"})
    upper = tar_layer(blobs, [member("a"), member("b", kind=DIRECTORY, mode=0o755), member("b/c")])
    unpack_image(image_of(lower, upper), root)
    assert (root / "a").is_file()
    assert (root / "b/c").is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_told_apart_from_a_damaged_layer(blobs: Path, root: Path) -> None:
    layer = file_layer(blobs, {"a": "1" * 2_000_000})
    root.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)], check=True)
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            unpack_image(image_of(layer), root)
    finally:
        subprocess.run(["umount", str(root)], check=True)
    assert caught.value.errno == errno.ENOSPC
