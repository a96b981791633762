from __future__ import annotations

import threading
from pathlib import Path

from lifecycle.cnb.layer import remove_tree
from pybuild.store import open_application, store_directory
from tests.pybuild.recording_log import RecordingLog


def test_store_is_in_the_cache_home(tmp_path: Path) -> None:
    assert store_directory({"XDG_CACHE_HOME": "/var/cache"}, tmp_path) == Path("/var/cache/pybuild")
    assert store_directory({"XDG_CACHE_HOME": "relative"}, tmp_path) == tmp_path / ".cache/pybuild"
    assert store_directory({}, tmp_path) == tmp_path / ".cache/pybuild"


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    with open_application(tmp_path, "a", RecordingLog()) as application:
        directory = application.directory
    (directory / "work" / "layers").mkdir(parents=True)
    with open_application(tmp_path, "a", RecordingLog()) as application:
        assert list(application.work.iterdir()) == []
    assert not application.work.exists()


def test_two_applications_do_not_meet(tmp_path: Path) -> None:
    with (
        open_application(tmp_path, "a", RecordingLog()) as one,
        open_application(tmp_path, "b", RecordingLog()) as other,
    ):
        assert one.directory != other.directory


def test_second_build_of_an_application_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    log = RecordingLog()
    inside = threading.Event()
    finish = threading.Event()

    def first() -> None:
        with open_application(tmp_path, "a", RecordingLog()):
            inside.set()
            finish.wait(10)
            order.append("first")

    def second() -> None:
        with open_application(tmp_path, "a", log):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    while not log.lines:
        pass
    finish.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]
    assert log.lines == ["notice another build of this application is running; waiting for it to end"]


def test_a_tree_without_permissions_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "tree"
    (directory / "locked" / "inner").mkdir(parents=True)
    (directory / "locked" / "inner" / "file").write_text("")
    (directory / "locked" / "inner").chmod(0)
    (directory / "locked").chmod(0)
    remove_tree(directory)
    assert not directory.exists()
