"""What a machine lacks is named with what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.image_check import validate_image
from tests.integration.image_files import read_layout
from tests.integration.machine import small_disk

pytestmark = pytest.mark.integration

_LACKING, _BUILDPACK_FAILED = 4, 51
# pybuild, and then the most memory in kB that its process has had at one time.
_MEASURED = """
import pathlib, sys
from pybuild.__main__ import main
peak = pathlib.Path(sys.argv.pop(1))
try:
    main()
finally:
    peak.write_text(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def path_without(tool: str, directory: Path) -> str:
    """A PATH that has every program of this machine's but `tool`."""
    directory.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name != tool and not (directory / program.name).is_symlink():
                (directory / program.name).symlink_to(program)
    assert shutil.which(tool, path=str(directory)) is None
    return str(directory)


def test_bubblewrap_missing_is_named_with_its_package(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    command = offline_pybuild.with_env(PATH=path_without("bwrap", tmp_path / "bin"))
    finished = command("build", repository, "--output", f"oci:{tmp_path / 'layout'}")
    message = expect_error(finished, _LACKING, "bwrap", "bubblewrap")
    assert "apt-get install bubblewrap" in message
    assert not (tmp_path / "layout").exists()


def test_mmdebstrap_missing_is_named_with_its_package(repository: Path, tmp_path: Path) -> None:
    # A store without a builder, which would have to be made.
    command = Pybuild(env=ordinary_environment(tmp_path / "empty")).with_env(
        PATH=path_without("mmdebstrap", tmp_path / "bin")
    )
    finished = command("build", repository, "--output", f"oci:{tmp_path / 'layout'}", timeout_s=120)
    message = expect_error(finished, _LACKING, "mmdebstrap")
    assert "apt-get install mmdebstrap" in message
    assert not (tmp_path / "layout").exists()


@pytest.fixture
def root() -> None:
    """Only root can mount a small disk."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")


@pytest.fixture
def full_store(root: None, offline_pybuild: Pybuild) -> Iterator[Path]:
    """The applications of the store on a disk that has less room than the interpreter needs."""
    with small_disk(offline_pybuild.cache_home / "pybuild" / "apps", 30) as directory:
        yield directory


def test_a_full_disk_under_the_store_is_said(
    full_store: Path, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    finished = offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'layout'}")
    # The buildpack that fills the disk may find out first.
    message = expect_error(finished, (_LACKING, _BUILDPACK_FAILED))
    assert "disk is full" in message or "no space left" in message
    assert "hint: " in message
    assert not (tmp_path / "layout").exists()


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_a_full_disk_under_the_output_is_said_and_left_empty(
    transport: str, root: None, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 5) as disk:
        finished = offline_pybuild("build", repository, "--output", f"{transport}:{disk / 'image'}")
        expect_error(finished, _LACKING, "no space left", str(disk))
        assert list(disk.iterdir()) == []
    # The image itself was made; a rerun elsewhere has only to write it.
    expect_success(offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'layout'}"))
    validate_image(tmp_path / "layout")


def test_the_outputs_that_fit_are_not_half_of_the_answer(
    root: None, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 5) as disk:
        outputs = ("--output", f"oci:{tmp_path / 'layout'}", "--output", f"oci-archive:{disk / 'image.tar'}")
        expect_error(offline_pybuild("build", repository, *outputs), _LACKING)
        if (tmp_path / "layout").exists():
            validate_image(tmp_path / "layout")


def test_large_layers_are_not_built_in_memory(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    with (repository / "large").open("wb") as stream:
        for _ in range(150):
            stream.write(os.urandom(1 << 20))
            stream.write(bytes(1 << 20))
    measured = replace(offline_pybuild, program=(sys.executable, "-c", _MEASURED, str(tmp_path / "peak")))
    outputs = ("--output", f"oci:{tmp_path / 'layout'}", "--output", f"docker-archive:{tmp_path / 'image.tar'}")
    expect_success(measured("build", repository, *outputs))
    assert int((tmp_path / "peak").read_text()) < 200_000
    assert sum(path.stat().st_size for path in read_layout(tmp_path / "layout").layers) > 150 << 20
