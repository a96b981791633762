from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.conda.kept_prefix import KeptPrefix
from tests.buildpacks.trees import tree


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    made = tmp_path / "env"
    (made / "lib" / "empty").mkdir(parents=True)
    (made / "lib" / "a").write_text("a")
    (made / "lib" / "link").symlink_to("a")
    return made


def test_a_prefix_comes_back_as_it_was_kept_and_takes_no_space(tmp_path: Path, prefix: Path) -> None:
    kept = KeptPrefix(cache_dir=tmp_path / "cache")
    kept.keep(prefix, "key")
    assert kept.holds("key")
    assert not kept.holds("other")
    (prefix / "lib" / "of pip").touch()
    kept.restore(prefix)
    assert tree(prefix) == {"lib/a": b"a", "lib/link": "a"}
    assert (prefix / "lib" / "empty").is_dir()
    assert (prefix / "lib" / "a").samefile(kept.path / "lib" / "a")


def test_what_replaces_files_of_the_environment_does_not_touch_what_is_kept(tmp_path: Path, prefix: Path) -> None:
    kept = KeptPrefix(cache_dir=tmp_path / "cache")
    kept.keep(prefix, "key")
    (prefix / "lib" / "a").unlink()
    (prefix / "lib" / "a").write_text("another")
    assert kept.holds("key")


def test_a_prefix_that_was_edited_in_place_is_not_used_again(tmp_path: Path, prefix: Path) -> None:
    kept = KeptPrefix(cache_dir=tmp_path / "cache")
    kept.keep(prefix, "key")
    with (prefix / "lib" / "a").open("a") as stream:
        stream.write("edited")
    assert not kept.holds("key")


def test_a_prefix_that_was_kept_by_halves_is_not_used(tmp_path: Path, prefix: Path) -> None:
    kept = KeptPrefix(cache_dir=tmp_path / "cache")
    kept.keep(prefix, "key")
    (kept.path / "lib" / "link").unlink()
    assert not kept.holds("key")
    kept.drop()
    assert not kept.path.exists()
    assert not kept.holds("key")
