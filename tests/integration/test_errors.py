"""What is wrong with a repository is said once, with file, line and what to change, and leaves no image."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import PackageIndex, project_of_backend, sha256_of, write_sdist

pytestmark = pytest.mark.integration

_NO_DETECTION, _BUILDPACK_FAILED = 20, 51


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A `requirements.txt` that cannot be built, and what the message must name."""

    text: str
    mentions: tuple[str, ...]


_CASES = {
    "missing": Case(text="# needed\nno-such-package==1.0\n", mentions=("requirements.txt:2", "no-such-package")),
    "missing-version": Case(text="alpha==9.9\n", mentions=("requirements.txt:1", "alpha", "9.9")),
    "conflict": Case(text="gamma\nbeta==1.0\nalpha==2.0\n", mentions=("requirements.txt:", "alpha", "beta")),
    "conflicting-lines": Case(text="alpha==1.0\nalpha==2.0\n", mentions=("requirements.txt:", "alpha")),
    "unparsable": Case(text="gamma\n\nalpha=1.0\n", mentions=("requirements.txt:3", "alpha=1.0")),
    "command": Case(text="pip install alpha\n", mentions=("requirements.txt:1", "pip install")),
    "wrong-hash": Case(text=f"gamma==1.0\nalpha==1.0 --hash=sha256:{'0' * 64}\n", mentions=("requirements.txt:",)),
    "missing-include": Case(text="alpha\n-r other.txt\n", mentions=("requirements.txt:2", "other.txt")),
    "missing-path": Case(text="./not-here\n", mentions=("requirements.txt:1", "not-here")),
    "merge-conflict": Case(
        text="<<<<<<< HEAD\nalpha==1.0\n=======\nalpha==2.0\n>>>>>>> other\n",
        mentions=("requirements.txt:1", "conflict"),
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_a_requirement_that_cannot_be_met_is_named_with_its_line(
    name: str, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    case = _CASES[name]
    (repository / "requirements.txt").write_text(case.text)
    finished = offline_pybuild("build", repository, *_outputs(tmp_path))
    message = expect_error(finished, _BUILDPACK_FAILED, *case.mentions)
    assert "hint: " in message
    _expect_nothing_left(offline_pybuild, tmp_path)


def test_a_wrong_hash_shows_the_right_one(
    offline_pybuild: Pybuild, index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    wrong = "0" * 64
    (repository / "requirements.txt").write_text(f"alpha==1.0 --hash=sha256:{wrong}\n")
    finished = offline_pybuild("build", repository, *_outputs(tmp_path))
    expect_error(finished, _BUILDPACK_FAILED, "requirements.txt:1", "alpha")
    assert wrong in finished.stderr
    assert sha256_of(index.directory / "alpha-1.0-py3-none-any.whl") in finished.stderr


def test_several_broken_lines_are_told_at_once(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    (repository / "requirements.txt").write_text("alpha=1.0\ngamma\nbeta=>1\n")
    finished = offline_pybuild("build", repository, *_outputs(tmp_path))
    expect_error(finished, _BUILDPACK_FAILED, "requirements.txt:1", "requirements.txt:3")


def test_no_known_file_is_no_group(offline_pybuild: Pybuild, tmp_path: Path) -> None:
    repository = tmp_path / "repository-of-something-else"
    repository.mkdir()
    (repository / "Cargo.toml").write_text("")
    finished = offline_pybuild("build", repository, *_outputs(tmp_path))
    message = expect_error(finished, _NO_DETECTION, "requirements.txt", str(repository))
    assert "hint: " in message
    _expect_nothing_left(offline_pybuild, tmp_path)
    detected = offline_pybuild("detect", repository, "--json")
    assert detected.status == _NO_DETECTION
    assert json.loads(detected.stdout)


def test_detect_says_which_buildpacks_would_run(offline_pybuild: Pybuild, repository: Path) -> None:
    said = expect_success(offline_pybuild("detect", repository)).stdout
    assert "pybuild/pip" in said
    assert "pybuild/python" in said
    assert json.loads(expect_success(offline_pybuild("detect", repository, "--json")).stdout)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nothing listens, and nothing can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_an_index_that_refuses_connections_is_named(
    offline_pybuild: Pybuild, repository: Path, closed_port: int, tmp_path: Path
) -> None:
    command = offline_pybuild.with_env(PIP_INDEX_URL=f"http://127.0.0.1:{closed_port}/simple/")
    finished = command("build", repository, *_outputs(tmp_path), timeout_s=180)
    expect_error(finished, _BUILDPACK_FAILED, f"127.0.0.1:{closed_port}")
    _expect_nothing_left(command, tmp_path)


def test_an_index_whose_name_is_unknown_is_named(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    command = offline_pybuild.with_env(PIP_INDEX_URL="http://packages.invalid/simple/")
    finished = command("build", repository, *_outputs(tmp_path), timeout_s=180)
    expect_error(finished, _BUILDPACK_FAILED, "packages.invalid")


def test_a_build_without_network_says_that_it_has_none(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    finished = offline_pybuild("build", repository, "--network", "none", *_outputs(tmp_path), timeout_s=180)
    expect_error(finished, _BUILDPACK_FAILED, "network")
    _expect_nothing_left(offline_pybuild, tmp_path)


def test_c_source_that_does_not_compile_is_named(
    offline_pybuild: Pybuild, index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    write_sdist(index.directory, "broken", "1.0", _compiling_project("int f(void) { return missing_name; }"))
    (repository / "requirements.txt").write_text("alpha\nbroken\n")
    finished = offline_pybuild("build", repository, *_outputs(tmp_path))
    expect_error(finished, _BUILDPACK_FAILED, "requirements.txt:2", "broken")
    assert "missing_name" in finished.stderr
    _expect_nothing_left(offline_pybuild, tmp_path)


def test_a_failed_build_keeps_the_image_that_was_there(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    expect_success(offline_pybuild("build", repository, *_outputs(tmp_path)))
    before = {path: path.read_bytes() for path in tmp_path.glob("out*/**/*") if path.is_file()}
    (repository / "requirements.txt").write_text("no-such-package\n")
    expect_error(offline_pybuild("build", repository, *_outputs(tmp_path)), _BUILDPACK_FAILED)
    assert before == {path: path.read_bytes() for path in tmp_path.glob("out*/**/*") if path.is_file()}
    (repository / "requirements.txt").write_text("alpha==1.0\n")
    expect_success(offline_pybuild("build", repository, *_outputs(tmp_path)))


def _outputs(tmp_path: Path) -> tuple[str, ...]:
    directory = tmp_path / "out"
    directory.mkdir(exist_ok=True)
    return "--output", f"oci:{directory / 'layout'}", "--output", f"docker-archive:{directory / 'image.tar'}"


def _expect_nothing_left(pybuild: Pybuild, tmp_path: Path) -> None:
    assert list((tmp_path / "out").iterdir()) == []
    expect_no_processes(pybuild.cache_home / "pybuild" / "apps")
    assert not list((pybuild.cache_home / "pybuild" / "apps").glob("*/work"))


def _compiling_project(source: str) -> dict[str, str]:
    """A project whose build backend, its own, compiles `source`; it needs no package to be built."""
    backend = """
        import subprocess
        def get_requires_for_build_wheel(config_settings=None):
            return []
        def build_wheel(directory, config_settings=None, metadata_directory=None):
            subprocess.run(["cc", "-c", "module.c", "-o", "module.o"], check=True)
            raise SystemExit("compiled")
    """
    return {**project_of_backend("broken", backend), "module.c": f"{source}\n"}
