from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pybuild.errors import UsageError
from pybuild.prune import Pruned, PruneRequest, prune_store
from pybuild.store import in_use, open_application
from pybuild.usage import measure_store
from tests.pybuild.recording_log import RecordingLog

BYTES = 64 * 1024
ALL = PruneRequest()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two applications, a shared environment that one of them took, and an archive."""
    store = tmp_path / "pybuild"
    for name in ("one", "other"):
        with open_application(store, str(tmp_path / name), RecordingLog()) as application:
            for part in (application.cache, application.image, application.extension):
                part.mkdir()
                (part / "file").write_bytes(os.urandom(BYTES))
    (store / "layers/blobs").mkdir(parents=True)
    (store / "layers/key").write_text("what the blob is")
    (store / "layers/blobs/0123").write_bytes(os.urandom(BYTES))
    (application.image / "blob").hardlink_to(store / "layers/blobs/0123")
    (store / "archives").mkdir()
    (store / "archives/4567.conda").write_bytes(os.urandom(BYTES))
    return store


def names(store: Path) -> set[str]:
    """Repositories of which anything is kept."""
    return {Path(one.repository or "").name for one in measure_store(store).applications}


def make_old(path: Path, days: int) -> None:
    then = time.time() - days * 24 * 3600
    os.utime(path, (then, then))


def prune(store: Path, request: PruneRequest = ALL) -> Pruned:
    return prune_store(request, store, RecordingLog())


@contextmanager
def building(store: Path, repository: Path) -> Iterator[None]:
    """A build of a repository under way, as `pybuild build` holds its locks, in a thread of its own."""
    with in_use(store, RecordingLog()), open_application(store, str(repository), RecordingLog()):
        yield


def test_sizes_are_by_kind_and_count_a_file_once(store: Path) -> None:
    usage = measure_store(store)
    assert BYTES <= usage.parts["archives"] < 2 * BYTES
    assert BYTES <= usage.parts["layers"] < 2 * BYTES
    for one in usage.applications:
        assert BYTES <= one.cache < 2 * BYTES
        # The blob that it has in common with others is counted there.
        assert BYTES <= one.image < 2 * BYTES
    assert usage.size == sum(usage.parts.values()) + sum(one.size for one in usage.applications)


def test_an_empty_store_holds_nothing(tmp_path: Path) -> None:
    usage = measure_store(tmp_path / "absent")
    assert (usage.size, usage.applications) == (0, ())
    assert not (tmp_path / "absent").exists()


def test_credentials_of_a_repository_are_not_kept(tmp_path: Path) -> None:
    with open_application(tmp_path, "https://alice:wonderland@host.example.org/a.git", RecordingLog()):
        pass
    assert [one.repository for one in measure_store(tmp_path).applications] == ["https://***@host.example.org/a.git"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"wonderland" in path.read_bytes()]


def test_the_application_that_was_used_last_comes_first(store: Path, tmp_path: Path) -> None:
    for one in measure_store(store).applications:
        make_old(one.application.directory, 3 if (one.repository or "").endswith("other") else 5)
    assert [Path(one.repository or "").name for one in measure_store(store).applications] == ["other", "one"]


def test_everything_goes(store: Path) -> None:
    before = measure_store(store).size
    done = prune(store)
    left = measure_store(store)
    assert left.applications == ()
    assert list((store / "apps").iterdir()) == []
    assert list((store / "archives").iterdir()) == []
    assert not (store / "layers/key").exists()
    # Of the parts their directories stay.
    assert before - left.size == pytest.approx(done.freed, abs=8 * 4096)
    assert done.in_use == []


def test_what_was_used_since_stays(store: Path) -> None:
    for one in measure_store(store).applications:
        if (one.repository or "").endswith("other"):
            make_old(one.application.directory, 40)
    make_old(store / "layers/key", 40)
    make_old(store / "archives/4567.conda", 20)
    done = prune(store, PruneRequest(older_than_s=30 * 24 * 3600))
    assert names(store) == {"one"}
    assert not (store / "layers/key").exists()
    assert (store / "layers/blobs/0123").exists()
    assert (store / "archives/4567.conda").exists()
    # Its image had a blob in common with what stays.
    assert 3 * BYTES <= done.freed < 4 * BYTES


@pytest.mark.parametrize("spelling", ["a path", "another path", "a key"])
def test_one_application_goes_by_its_repository_or_its_key(store: Path, tmp_path: Path, spelling: str) -> None:
    keys = {Path(one.repository or "").name: one.key for one in measure_store(store).applications}
    text = {"a path": str(tmp_path / "one"), "another path": str(tmp_path / "x/../one"), "a key": keys["one"]}[spelling]
    prune(store, PruneRequest(applications=(text,)))
    assert names(store) == {"other"}
    assert (store / "archives/4567.conda").exists()


def test_with_an_application_goes_what_was_built_of_it_for_other_platforms(store: Path, tmp_path: Path) -> None:
    with open_application(store, str(tmp_path / "one"), RecordingLog(), foreign="arm64"):
        pass
    assert len(measure_store(store).applications) == 3
    prune(store, PruneRequest(applications=(str(tmp_path / "one"),)))
    assert names(store) == {"other"}


def test_an_application_that_there_is_not_removes_nothing(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is kept of"):
        prune(store, PruneRequest(applications=(str(tmp_path / "one"), "absent")))
    assert names(store) == {"one", "other"}


def test_what_a_build_uses_stays(store: Path, tmp_path: Path) -> None:
    inside, finish = threading.Event(), threading.Event()

    def build() -> None:
        with building(store, tmp_path / "one"):
            inside.set()
            finish.wait(30)

    thread = threading.Thread(target=build)
    thread.start()
    assert inside.wait(30)
    done = prune(store)
    finish.set()
    thread.join(30)
    assert names(store) == {"one"}
    assert (store / "archives/4567.conda").exists()
    assert done.in_use == [str(tmp_path / "one"), "what applications share"]


def test_a_build_that_waited_for_the_removal_begins_anew(store: Path, tmp_path: Path) -> None:
    """It has the lock of a directory that is gone by then: two builds would share none."""
    log = RecordingLog()
    entered = threading.Event()

    def build() -> None:
        with open_application(store, str(tmp_path / "one"), log) as application:
            assert application.work.is_dir()
            assert application.lock.exists()
            entered.set()

    with open_application(store, str(tmp_path / "one"), RecordingLog()) as application:
        thread = threading.Thread(target=build)
        thread.start()
        while not log.lines:
            time.sleep(0.01)
        application.lock.unlink()
        for part in ("cache", "image", "extension"):
            (application.directory / part / "file").unlink()
            (application.directory / part).rmdir()
        application.repository.unlink()
        application.work.rmdir()
        application.directory.rmdir()
    thread.join(30)
    assert entered.is_set()


def test_parts_of_another_store_stay(store: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "base").mkdir()
    (store / "bases").symlink_to(foreign)
    (store / "archives/link").symlink_to(foreign)
    prune(store)
    assert (foreign / "base").is_dir()
    assert not (store / "archives/link").is_symlink()


def test_a_repository_is_what_is_kept_of_it_for_every_platform(store: Path) -> None:
    repository = str(store.parent / "one")
    with open_application(store, repository, RecordingLog(), foreign="arm64") as application:
        application.cache.mkdir()
        (application.cache / "file").write_bytes(os.urandom(BYTES))
    assert names(store) == {"one", "one for arm64", "other"}
    prune(store, PruneRequest(applications=(repository,)))
    assert names(store) == {"other"}
