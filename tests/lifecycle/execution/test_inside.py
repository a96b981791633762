"""Paths of an image are followed as inside of it, wherever its links point."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.execution.inside import find_program, resolve_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "run/lock").mkdir(parents=True)
    (root / "var").mkdir()
    links = {
        "bin": "usr/bin",
        "var/run": "/run",
        "up": "../../../../usr",
        "loop": "loop",
        "dangling": "/nowhere/x",
        "out": str(tmp_path),
        "usr/bin/python": "python3",
        "usr/bin/bad": "/missing",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    for name, mode in (("python3", 0o755), ("text", 0o644)):
        (root / "usr/bin" / name).touch()
        (root / "usr/bin" / name).chmod(mode)
    os.mkfifo(root / "usr/bin/fifo", 0o777)
    (root / "usr/bin/directory").mkdir()
    return root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/usr/bin/python", "/usr/bin/python3"),
        ("/bin/python", "/usr/bin/python3"),
        ("/var/run/lock/x/y", "/run/lock/x/y"),
        ("/up/bin", "/usr/bin"),
        ("/../../bin/../../etc", "/etc"),
        ("/dangling/y", "/nowhere/x/y"),
        ("/loop", None),
        ("/loop/x", None),
        ("/" + "x" * 300, None),
    ],
)
def test_links_are_followed_inside(root: Path, path: str, expected: str | None) -> None:
    found = resolve_inside(root, PurePosixPath(path))
    assert found == (None if expected is None else PurePosixPath(expected))


def test_a_link_out_leads_to_a_path_inside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    assert resolve_inside(root, PurePosixPath("/out/usr")) == PurePosixPath(tmp_path / "usr")
    assert not (root / str(tmp_path)[1:]).exists()


@pytest.mark.parametrize(
    ("name", "search_path", "expected"),
    [
        ("python", "/usr/local/bin:/bin", "/bin/python"),
        ("python", None, "/usr/bin/python"),
        ("python", "/nowhere", None),
        ("/usr/bin/python3", "/nowhere", "/usr/bin/python3"),
        ("bad", "/bin", None),
        ("text", "/bin", None),
        ("fifo", "/bin", None),
        ("directory", "/bin", None),
        ("python", "loop:bin", "/bin/python"),
    ],
)
def test_programs_are_found_on_the_images_path(
    root: Path, name: str, search_path: str | None, expected: str | None
) -> None:
    found = find_program(root, name, search_path)
    assert found == (None if expected is None else PurePosixPath(expected))
