from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from pybuild.archives import keep_archives, share_archives

CONTENT = b"an archive"
NAME = f"{hashlib.sha256(CONTENT).hexdigest()}.conda"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Where a build leaves what it downloaded."""
    directory = tmp_path / "layers" / "pybuild_conda" / "cache" / "archives"
    directory.mkdir(parents=True)
    return directory


def shared(tmp_path: Path) -> list[str]:
    share_archives(tmp_path / "layers", tmp_path / "store")
    return sorted(os.listdir(tmp_path / "store"))


def test_an_archive_with_a_true_name_is_shared(tmp_path: Path, left: Path) -> None:
    (left / NAME).write_bytes(CONTENT)
    assert shared(tmp_path) == [NAME]
    assert not (left / NAME).exists()


@pytest.mark.parametrize("name", ["notes.txt", f"{NAME}.tmp.part.x", "0" * 64 + ".conda", NAME.upper()])
def test_what_is_not_what_it_is_called_stays(tmp_path: Path, left: Path, name: str) -> None:
    (left / name).write_bytes(CONTENT)
    assert shared(tmp_path) == []
    assert (left / name).exists()


def test_a_file_that_has_another_name_stays(tmp_path: Path, left: Path) -> None:
    (left / NAME).write_bytes(CONTENT)
    (left.parent / "kept").hardlink_to(left / NAME)
    assert shared(tmp_path) == []


def test_links_and_pipes_are_not_followed(tmp_path: Path, left: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / NAME).write_bytes(CONTENT)
    (left / NAME).symlink_to(outside / NAME)
    os.mkfifo(left / f"{'1' * 64}.conda")
    linked = tmp_path / "layers" / "pybuild_conda" / "other"
    linked.mkdir()
    (linked / "archives").symlink_to(outside)
    assert shared(tmp_path) == []
    assert (outside / NAME).exists()


def test_archives_that_no_lock_names_are_removed_after_long(tmp_path: Path) -> None:
    old = time.time() - 100 * 24 * 3600
    for name in (NAME, f"{'2' * 64}.conda"):
        (tmp_path / name).write_bytes(CONTENT)
        os.utime(tmp_path / name, (old, old))
    (tmp_path / f"{'3' * 64}.conda").write_bytes(CONTENT)
    keep_archives(tmp_path, [f"https://x.example.org/a.conda#sha256:{NAME[:64]}"])
    assert sorted(os.listdir(tmp_path)) == sorted([NAME, f"{'3' * 64}.conda"])
