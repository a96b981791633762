"""Interpreters of the machine are found where people have them, and only those that can be packed."""

from __future__ import annotations

import json
from pathlib import Path

from pybuild.builder.installed import find_installed


def write_python(prefix: Path, version: str, implementation: str = "cpython", says_prefix: Path | None = None) -> None:
    """A program that answers as an interpreter of that version would."""
    program = prefix / "bin" / f"python{version.rpartition('.')[0]}"
    program.parent.mkdir(parents=True, exist_ok=True)
    answer = json.dumps([implementation, version, str(says_prefix or prefix)])
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)


def found(home: Path, requested: str, **env: str) -> list[tuple[str, str]]:
    installed = find_installed(requested, {"HOME": str(home), "PATH": "", **env})
    # This machine's own /usr/local and /opt are looked at as well.
    return [(python.version, python.origin) for python in installed if home in python.prefix.parents]


def test_the_newest_comes_first(tmp_path: Path) -> None:
    for version in ("3.10.4", "3.10.13", "3.11.1"):
        write_python(tmp_path / ".pyenv/versions" / version, version)
    assert found(tmp_path, "3.10") == [("3.10.13", "machine"), ("3.10.4", "machine")]
    assert found(tmp_path, "3.10.4") == [("3.10.4", "machine")]


def test_programs_on_the_path_are_found(tmp_path: Path) -> None:
    write_python(tmp_path / "own", "3.10.9")
    assert found(tmp_path, "3.10", PATH=str(tmp_path / "own/bin")) == [("3.10.9", "machine")]


def test_interpreters_of_uv_keep_their_origin(tmp_path: Path) -> None:
    write_python(tmp_path / ".local/share/uv/python/cpython-3.10.16-linux-x86_64-gnu", "3.10.16")
    assert found(tmp_path, "3.10") == [("3.10.16", "python-build-standalone")]


def test_what_cannot_be_packed_is_passed_over(tmp_path: Path) -> None:
    write_python(tmp_path / "distribution", "3.10.1", says_prefix=Path("/usr"))
    write_python(tmp_path / "pypy", "3.10.2", implementation="pypy")
    write_python(tmp_path / "conda", "3.10.3")
    (tmp_path / "conda/conda-meta").mkdir()
    broken = tmp_path / "shim/bin/python3.10"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2; exit 127\n")
    broken.chmod(0o755)
    names = ("distribution", "pypy", "conda", "shim")
    path = ":".join(str(tmp_path / name / "bin") for name in names)
    assert found(tmp_path, "3.10", PATH=path) == []
