"""A build that is interrupted, terminated or out of time ends at once, leaves nothing, and can be done again."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.integration.command import Finished, Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.image_check import validate_image
from tests.integration.machine import expect_no_processes, processes_that_see
from tests.integration.package_index import PackageIndex, write_sleeper

pytestmark = pytest.mark.integration

_INTERRUPTED, _TERMINATED, _OUT_OF_TIME = 130, 143, 53
# Sleeps while its wheel is built, with a child that has left its process group and session behind.


@pytest.fixture
def sleeping(index: PackageIndex, repository: Path) -> Path:
    """A repository whose build never ends."""
    write_sleeper(index.directory)
    (repository / "requirements.txt").write_text("sleeper\n")
    return repository


# Those that are over in a moment take the most time to vary what their neighbours show.
_MOMENTS = [pytest.param(phase, marks=pytest.mark.thorough) for phase in ("SOURCE", "ANALYZE", "RESTORE")]


@pytest.mark.parametrize("phase", ["BUILDER", "DETECT", "BUILD", "EXPORT", *_MOMENTS])
def test_control_c_in_each_phase_leaves_nothing(
    phase: str, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    running = offline_pybuild.start("build", repository, "--output", f"oci:{tmp_path / 'layout'}")
    running.wait_for(f"===> {phase}\n")
    running.send(signal.SIGINT)
    _expect_interrupted(running.finish(20), _INTERRUPTED, offline_pybuild, tmp_path)
    expect_success(offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'layout'}"))
    validate_image(tmp_path / "layout")


def test_control_c_while_the_builder_is_made_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = Pybuild(env={**ordinary_environment(tmp_path / "cache-home"), "TMPDIR": str(temporary)})
    running = command.start("builder", "create")
    running.wait_for("unpacking packages")
    running.send(signal.SIGINT)
    expect_error(running.finish(60), _INTERRUPTED)
    expect_no_processes(tmp_path)
    assert list(temporary.iterdir()) == []
    assert not list((tmp_path / "cache-home" / "pybuild").glob("bases/*"))
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, _INTERRUPTED), (signal.SIGTERM, _TERMINATED)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_while_a_package_is_built_ends_everything(
    number: signal.Signals, status: int, offline_pybuild: Pybuild, sleeping: Path, tmp_path: Path
) -> None:
    running = offline_pybuild.start("build", sleeping, "--output", f"oci:{tmp_path / 'layout'}")
    running.wait_for("===> BUILD\n")
    _wait_for_backend(offline_pybuild)
    running.send(number)
    _expect_interrupted(running.finish(20), status, offline_pybuild, tmp_path)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="SIGINT"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.thorough),
    ],
)
def test_an_impatient_second_signal_ends_it_no_worse(
    number: signal.Signals, offline_pybuild: Pybuild, repository: Path, sleeping: Path, tmp_path: Path
) -> None:
    running = offline_pybuild.start("build", sleeping, "--output", f"oci:{tmp_path / 'layout'}")
    running.wait_for("===> BUILD\n")
    _wait_for_backend(offline_pybuild)
    running.send(number)
    # While the first one is answered.
    time.sleep(0.05)
    running.send(number)
    finished = running.finish(10)
    # The last moment of a program answers signals as the system does.
    assert finished.status in (_INTERRUPTED, _TERMINATED, -number)
    assert "Traceback" not in finished.stderr
    expect_no_processes(offline_pybuild.cache_home)
    assert not (tmp_path / "layout").exists()
    (repository / "requirements.txt").write_text("alpha==1.0\n")
    expect_success(offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'layout'}"))
    _expect_no_work(offline_pybuild)


def test_a_killed_build_leaves_no_processes_and_the_next_is_clean(
    offline_pybuild: Pybuild, repository: Path, sleeping: Path, tmp_path: Path
) -> None:
    running = offline_pybuild.start("build", sleeping, "--output", f"oci:{tmp_path / 'layout'}")
    running.wait_for("===> BUILD\n")
    _wait_for_backend(offline_pybuild)
    running.send(signal.SIGKILL)
    assert running.finish().status == -signal.SIGKILL
    expect_no_processes(offline_pybuild.cache_home)
    assert not (tmp_path / "layout").exists()
    (repository / "requirements.txt").write_text("alpha==1.0\n")
    expect_success(offline_pybuild("build", repository, "--output", f"oci:{tmp_path / 'layout'}"))
    validate_image(tmp_path / "layout")


def test_the_time_limit_ends_a_build_with_all_its_processes(
    offline_pybuild: Pybuild, sleeping: Path, tmp_path: Path
) -> None:
    finished = offline_pybuild(
        "build", sleeping, "--timeout", "12s", "--output", f"oci:{tmp_path / 'layout'}", timeout_s=60
    )
    message = expect_error(finished, _OUT_OF_TIME, "12 seconds", "build")
    assert "--timeout" in message
    assert finished.seconds < 30
    _expect_nothing_left(offline_pybuild, tmp_path)


def _wait_for_backend(pybuild: Pybuild) -> None:
    """Return when the build's own daemon sleeps: three of its processes run `backend`."""
    deadline = time.monotonic() + 60
    while (
        sum("build_wheel" in command or "backend" in command for command in processes_that_see(pybuild.cache_home)) < 2
    ):
        assert time.monotonic() < deadline, processes_that_see(pybuild.cache_home)
        time.sleep(0.2)


def _expect_interrupted(finished: Finished, status: int, pybuild: Pybuild, tmp_path: Path) -> None:
    expect_error(finished, status)
    _expect_nothing_left(pybuild, tmp_path)


def _expect_nothing_left(pybuild: Pybuild, tmp_path: Path) -> None:
    expect_no_processes(pybuild.cache_home)
    assert not (tmp_path / "layout").exists()
    _expect_no_work(pybuild)


def _expect_no_work(pybuild: Pybuild) -> None:
    assert not list((pybuild.cache_home / "pybuild").glob("apps/*/work"))
