from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Deadline
from pybuild.project.selection import parse_selection
from pybuild.source.tree import copy_tree
from tests.pybuild.recording_log import RecordingLog


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "target"
    directory.mkdir()
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


def test_modes_are_those_git_would_give_whatever_the_umask(source: Path, target: Path) -> None:
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o700)
    (source / "data.csv").write_text("1\n")
    (source / "data.csv").chmod(0o600)
    (source / "sub").mkdir(mode=0o700)
    copy_tree(source, target, RecordingLog())
    modes = {path.name: path.stat().st_mode & 0o7777 for path in target.iterdir()}
    assert modes == {"run.sh": 0o755, "data.csv": 0o644, "sub": 0o755}


def test_links_stay_links_and_are_never_followed(source: Path, target: Path) -> None:
    (source / "passwd").symlink_to("/etc/passwd")
    (source / "loop").symlink_to("loop")
    (source / "dangling").symlink_to("nowhere")
    copy_tree(source, target, RecordingLog())
    assert {path.name: os.readlink(path) for path in target.iterdir()} == {
        "passwd": "/etc/passwd",
        "loop": "loop",
        "dangling": "nowhere",
    }


def test_history_caches_and_virtual_environments_stay_behind(source: Path, target: Path) -> None:
    for name in (".git", "__pycache__", "env", "package"):
        (source / name).mkdir()
        (source / name / "file").write_text("")
    (source / "env" / "pyvenv.cfg").write_text("")
    copy_tree(source, target, RecordingLog())
    assert [path.name for path in target.iterdir()] == ["package"]


def test_sockets_and_pipes_are_left_out_with_a_warning(source: Path, target: Path) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
    log = RecordingLog()
    copy_tree(source, target, log)
    assert list(target.iterdir()) == []
    assert log.lines == ["warning left out, neither file, directory nor link: `pipe`, `socket`"]


def test_what_looks_like_a_secret_is_named(source: Path, target: Path) -> None:
    (source / ".env").write_text("TOKEN=1\n")
    log = RecordingLog()
    copy_tree(source, target, log)
    assert (target / ".env").exists()
    assert log.lines == ["warning these look like secrets and go into the image with the repository: `.env`"]


def test_names_that_are_not_utf8_arrive_byte_for_byte(source: Path, target: Path) -> None:
    name = b"caf\xe9\n-x"
    (Path(os.fsdecode(os.fsencode(source) + b"/" + name))).write_text("x")
    copy_tree(source, target, RecordingLog())
    assert os.listdir(os.fsencode(target)) == [name]


def test_the_store_inside_the_repository_stays_behind(source: Path) -> None:
    (source / "main.py").write_text("")
    (source / "pybuild").mkdir()
    (source / "pybuild" / "kept.py").write_text("")
    target = source / ".cache" / "pybuild" / "apps" / "key" / "work" / "app"
    target.mkdir(parents=True)
    copy_tree(source, target, RecordingLog())
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == [
        ".cache",
        "main.py",
        "pybuild",
        "pybuild/kept.py",
    ]


def test_what_is_not_selected_stays_behind_without_a_trace(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("src/main.py", "src/empty/.keep", "data/large.bin", ".git/config", ".env"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "hollow").mkdir()
    (source / "link").symlink_to("data")
    target.mkdir()
    log = RecordingLog()
    copy_tree(source, target, log, parse_selection(include=None, exclude=["/data/", ".env", ".keep", "link/"]))
    assert names_below(target) == ["hollow", "link", "src", "src/empty", "src/main.py"]
    assert log.lines == ["detail left out of the application: `.git/`", LEFT_OUT]
    included = tmp_path / "included"
    included.mkdir()
    copy_tree(source, included, RecordingLog(), parse_selection(include=["*.py", ".git", "hollow"], exclude=None))
    assert names_below(included) == ["hollow", "src", "src/main.py"]


def test_copying_ends_when_the_time_is_up(source: Path, target: Path) -> None:
    (source / "file").touch()
    with pytest.raises(CommandTimeout):
        copy_tree(source, target, RecordingLog(), deadline=Deadline.after(-1))
    assert list(target.iterdir()) == []


LEFT_OUT = "info left out by project.toml: `.env`, `data/`, `src/empty/.keep`"


def names_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
