"""Directories of the store are made once, whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from pybuild.builder.kept import content_key, forget_unused, link_file, link_tree, make_directory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_directory_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "things" / "key"

    def make(directory: Path) -> None:
        (directory / "first").touch()
        assert not target.exists()
        (directory / "second").touch()

    make_directory(target, make)
    assert names(target) == ["first", "second"]
    assert names(target.parent) == ["key"]


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "key"
    make_directory(target, lambda directory: (directory / "old").touch())

    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_directory(target, fail)
    assert names(tmp_path) == ["key"]
    assert names(target) == ["old"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".making-key").mkdir()
    (tmp_path / ".making-key" / "half").touch()
    make_directory(tmp_path / "key", lambda directory: (directory / "whole").touch())
    assert names(tmp_path / "key") == ["whole"]


def test_a_replaced_directory_stays_for_those_who_use_it_and_goes_later(tmp_path: Path) -> None:
    target = tmp_path / "key"
    make_directory(target, lambda directory: (directory / "old").touch())
    make_directory(target, lambda directory: (directory / "new").touch())
    retired = next(path for path in tmp_path.iterdir() if path.name.startswith(".retired-"))
    assert names(retired) == ["old"]
    yesterday = time.time() - 25 * 3600
    os.utime(retired, (yesterday, yesterday))
    make_directory(target, lambda directory: (directory / "newest").touch())
    assert not retired.exists()
    assert names(target) == ["newest"]


def test_keys_tell_parts_apart() -> None:
    assert content_key("a", ["b"]) == content_key("a", ["b"])
    assert content_key("a", ["b"]) != content_key("a", "b")


def test_what_nobody_uses_is_forgotten(tmp_path: Path) -> None:
    for name, age_s in (("used", 10), ("unused", 1000)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age_s, time.time() - age_s))
    forget_unused(tmp_path, 100)
    assert names(tmp_path) == ["used"]


def test_a_linked_tree_takes_no_space_of_its_own_and_outlives_the_first(tmp_path: Path) -> None:
    (tmp_path / "first" / "below").mkdir(parents=True)
    (tmp_path / "first" / "below" / "file").write_text("content")
    (tmp_path / "first" / "link").symlink_to("below/file")
    link_tree(tmp_path / "first", tmp_path / "second")
    assert (tmp_path / "second" / "below" / "file").samefile(tmp_path / "first" / "below" / "file")
    assert os.readlink(tmp_path / "second" / "link") == "below/file"
    (tmp_path / "first" / "below" / "file").unlink()
    assert (tmp_path / "second" / "link").read_text() == "content"


def test_a_file_on_another_file_system_is_copied(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        link_file(tmp_path / "file", Path(elsewhere, "file"))
        assert Path(elsewhere, "file").read_text() == "content"
