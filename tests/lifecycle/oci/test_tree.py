"""Directories are listed once and divided; the parts together are what was there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lifecycle.oci.errors import ArchiveError
from lifecycle.oci.tree import scan_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for path in ("a/x/1", "a/x/2", "a/y/1", "a-b/1", "b"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "empty").mkdir()
    (root / "link").symlink_to("a")
    return root


def test_entries_are_in_the_order_of_archives(root: Path) -> None:
    tree = scan_tree(root)
    expected = "|a|a/x|a/x/1|a/x/2|a/y|a/y/1|a-b|a-b/1|b|empty|link"
    assert b"|".join(entry.path for entry in tree.entries).decode() == expected
    assert tree.size == sum(map(len, ("a/x/1", "a/x/2", "a/y/1", "a-b/1", "b")))


def test_parts_have_the_directories_above_them_and_are_together_the_tree(root: Path) -> None:
    tree = scan_tree(root)
    parts = tree.divide(lambda entry: entry.path.endswith(b"1"))
    paths = {key: [entry.path.decode() for entry in part.entries] for key, part in parts.items()}
    assert paths[True] == ["", "a", "a/x", "a/x/1", "a/y", "a/y/1", "a-b", "a-b/1"]
    assert paths[False] == ["", "a", "a/x", "a/x/2", "b", "empty", "link"]
    assert {entry for part in parts.values() for entry in part.entries} == set(tree.entries)


def test_a_selection_of_nothing_is_the_directory_alone(root: Path) -> None:
    assert [entry.path for entry in scan_tree(root).select(lambda path: path == b"a").entries] == [b""]
    assert [entry.path for entry in scan_tree(root).select(lambda path: path == b"empty").entries] == [b"", b"empty"]


def test_the_stamp_of_a_file_changes_with_it(root: Path) -> None:
    def stamps() -> dict[bytes, tuple[int, ...]]:
        return {entry.path: entry.stamp for entry in scan_tree(root).entries if not entry.is_directory}

    before, status = stamps(), (root / "b").stat()
    assert stamps() == before
    (root / "b").write_text("c")
    os.utime(root / "b", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = stamps()
    assert [path for path in after if after[path] != before[path]] == [b"b"], "also where the time was put back"


def test_names_that_are_deeper_than_a_path_can_be(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        here, above = os.open("d" * 200, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    assert len(scan_tree(tmp_path).entries) == 31


def test_a_name_that_means_a_removal_is_refused(root: Path) -> None:
    (root / "a/.wh.x").touch()
    with pytest.raises(ArchiveError, match=r"\.wh\."):
        scan_tree(root)
