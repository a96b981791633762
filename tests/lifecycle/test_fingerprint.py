from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.fingerprint import fingerprint_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "below" / "empty").mkdir(parents=True)
    (root / "below" / "file").write_text("content")
    (root / "link").symlink_to("below/file")
    return root


def _write_into(root: Path) -> None:
    with (root / "below/file").open("r+") as stream:
        stream.write("CONTENT")
    # As if a second had gone by: the clock of file times is a coarse one.
    os.utime(root / "below/file", ns=(0, (root / "below/file").stat().st_mtime_ns + 10**9))


def _retarget(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("below/elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": _write_into,
    "size": lambda root: (root / "below/file").write_text("longer content"),
    "mode": lambda root: (root / "below/file").chmod(0o755),
    "another file": lambda root: (root / "below/empty/new").touch(),
    "a file less": lambda root: (root / "below/file").unlink(),
    "a name": lambda root: (root / "below/file").rename(root / "below/other"),
    "a place": lambda root: (root / "below/file").rename(root / "file"),
    "a link": _retarget,
    "a kind": lambda root: (root / "below/empty").rmdir() or (root / "below/empty").touch(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_noticed(tree: Path, change: str) -> None:
    before = fingerprint_tree(tree)
    CHANGES[change](tree)
    assert fingerprint_tree(tree) != before


def test_moving_copying_and_linking_changes_nothing(tree: Path, tmp_path: Path) -> None:
    before = fingerprint_tree(tree)
    (tmp_path / "shared").hardlink_to(tree / "below/file")
    (tmp_path / "shared").unlink()
    shutil.copytree(tree, tmp_path / "copy", symlinks=True)
    # The standard library does not keep the times of links.
    times = (tree / "link").lstat()
    os.utime(tmp_path / "copy/link", ns=(times.st_atime_ns, times.st_mtime_ns), follow_symlinks=False)
    tree.rename(tmp_path / "moved")
    assert fingerprint_tree(tmp_path / "moved") == before
    assert fingerprint_tree(tmp_path / "copy") == before


def test_links_are_not_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tree / "outside").symlink_to(tmp_path / "outside")
    before = fingerprint_tree(tree)
    (tmp_path / "outside" / "new").touch()
    assert fingerprint_tree(tree) == before
