"""What the user of an image may do with its files after it was unpacked, for real; bubblewrap keeps the process in."""

from __future__ import annotations

import stat
import tarfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.unpack import Runnable, unpack_runnable
from tests.lifecycle.oci.images import image_of, member, tar_layer

DIRECTORY, SYMLINK, HARD_LINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:app\napp:x:1000:\n"

pytestmark = pytest.mark.integration


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def owned(info: tarfile.TarInfo, user_id: int, group_id: int) -> tarfile.TarInfo:
    info.uid, info.gid = user_id, group_id
    return info


def directory(name: str, mode: int, user_id: int = 0, group_id: int = 0) -> tarfile.TarInfo:
    return owned(member(name, kind=DIRECTORY, mode=mode), user_id, group_id)


def image(blobs: Path, *members: tarfile.TarInfo, user: str | None = "app") -> Image:
    lists = [(member("etc/passwd"), PASSWD), (member("etc/group"), GROUP)]
    layer = tar_layer(blobs, [directory("etc", 0o755), *lists])
    made = image_of(layer, tar_layer(blobs, members))
    return make_image(replace(made.config, user=user), made.layers)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def modes(runnable: Runnable) -> dict[str, int]:
    return {str(path): found for path, found in runnable.directories.items()}


def test_the_bits_that_count_are_those_of_the_class_that_the_user_is_in(blobs: Path, root: Path) -> None:
    runnable = unpack_runnable(
        image(
            blobs,
            owned(member("mine", mode=0o640), 1000, 1000),
            owned(member("ours", mode=0o664), 0, 1000),
            owned(member("staffs", mode=0o660), 0, 50),
            member("roots", mode=0o644),
            member("secret", mode=0o600),
            member("program", mode=0o755),
        ),
        root,
    )
    assert (runnable.user.user_id, runnable.user.group_id, runnable.user.home) == (1000, 1000, "/home/app")
    assert mode(root / "mine") == 0o640
    assert mode(root / "ours") == 0o664
    assert mode(root / "staffs") == 0o660
    assert mode(root / "roots") == 0o444
    assert mode(root / "secret") == 0o000
    assert mode(root / "program") == 0o555


def test_directories_stay_open_to_the_caller_and_are_told_instead(blobs: Path, root: Path) -> None:
    runnable = unpack_runnable(
        image(
            blobs,
            directory("home", 0o755),
            directory("home/app", 0o755, 1000, 1000),
            directory("home/app/roots", 0o755),
            directory("root", 0o700),
            directory("tmp", 0o1777),
            # Made on the way, as root's.
            owned(member("made/on/the/way", mode=0o644), 1000, 1000),
        ),
        root,
    )
    assert modes(runnable) == {
        ".": 0o555,
        "etc": 0o555,
        "home": 0o555,
        # Nothing to change, but above something that there is.
        "home/app": 0o755,
        "home/app/roots": 0o555,
        "made": 0o555,
        "made/on": 0o555,
        "made/on/the": 0o555,
        "root": 0o000,
    }
    assert all(mode(path) & stat.S_IRWXU == stat.S_IRWXU for path in root.rglob("*") if path.is_dir())


def test_root_may_do_everything_as_before(blobs: Path, root: Path) -> None:
    members = (owned(member("others", mode=0o600), 1000, 1000), directory("closed", 0o555, 1000, 1000))
    runnable = unpack_runnable(image(blobs, *members, user=None), root)
    assert runnable.user.is_root
    assert runnable.directories == {}
    assert mode(root / "others") == 0o600


def test_the_owner_is_that_of_the_layer_that_came_last_by_whatever_path(blobs: Path, root: Path) -> None:
    lower = tar_layer(
        blobs,
        [
            directory("usr", 0o755),
            directory("usr/lib", 0o755),
            owned(member("usr/lib/a", mode=0o600), 1000, 1000),
            member("usr/lib/b", mode=0o600),
            member("usr/lib/gone", mode=0o600),
            member("lib", kind=SYMLINK, link="/usr/lib"),
            owned(member("first", mode=0o600), 1000, 1000),
            member("second", kind=HARD_LINK, link="first"),
        ],
    )
    upper = tar_layer(
        blobs,
        [
            member("lib/a", mode=0o600),
            owned(member("lib/b", mode=0o600), 1000, 1000),
            member("usr/lib/.wh.gone"),
            member("gone", kind=SYMLINK, link="/etc/passwd"),
        ],
    )
    made = image(blobs)
    runnable = unpack_runnable(make_image(made.config, [*made.layers, lower, upper]), root)
    assert mode(root / "usr/lib/a") == 0o000
    assert mode(root / "usr/lib/b") == 0o600
    assert mode(root / "second") == 0o600
    assert PurePosixPath("lib") not in runnable.directories


def test_a_user_that_the_image_does_not_know_is_one_error(blobs: Path, root: Path) -> None:
    with pytest.raises(BrokenImage, match="the user `nobody` is not in the image's /etc/passwd"):
        unpack_runnable(image(blobs, user="nobody"), root)


def test_lists_that_are_no_files_are_empty(blobs: Path, root: Path) -> None:
    odd = image_of(tar_layer(blobs, [directory("etc/passwd", 0o755), member("etc/group", kind=SYMLINK, link="group")]))
    assert unpack_runnable(odd, root).user.user_id == 1000
    assert unpack_runnable(image_of(), root.with_name("empty")).user.home == "/"
