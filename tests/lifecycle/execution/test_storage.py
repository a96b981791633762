"""What the storage of an application keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.execution import storage
from lifecycle.execution.storage import Usage, bound_caches, complete_ids, read_usage, write_usage


def test_an_image_goes_when_the_last_five_builds_did_not_use_it() -> None:
    usage = Usage().after(["old", "base"])
    for build in range(2, 7):
        usage, unused = usage.after(["base"]).split(["old", "base"])
        assert unused == (("old",) if build == 6 else ())
    assert usage == Usage(builds=6, last_used={"base": 6})


def test_an_image_that_nobody_has_counted_stays() -> None:
    usage, unused = Usage(builds=100).after([]).split(["new"])
    assert unused == ()
    assert usage.last_used == {"new": 101}


def test_usage_is_read_as_it_was_written(tmp_path: Path) -> None:
    usage = Usage(builds=3, last_used={"a": 1, "b": 3})
    write_usage(tmp_path / "usage.json", usage)
    assert read_usage(tmp_path / "usage.json") == usage


@pytest.mark.parametrize("content", ["", "[]", '{"builds":"x"}', '{"last-used":[]}', "\0"])
def test_usage_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "usage.json"
    path.write_text(content)
    assert read_usage(path) == Usage()
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert read_usage(path) == Usage()


def test_ids_are_completed() -> None:
    assert complete_ids({"ab", "ffff"}, ["abc", "abd", "cab"]) == ("abc", "abd")
    assert complete_ids((), ["abc"]) == ()


def test_a_cache_that_is_too_large_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "cache"
    (directory / "below").mkdir(parents=True)
    (directory / "below" / "file").write_bytes(bytes(1000))
    assert not bound_caches(directory)
    monkeypatch.setattr(storage, "_CACHE_LIMIT", 999)
    assert bound_caches(directory)
    assert not directory.exists()
