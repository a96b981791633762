"""Builds whose phases run in containers of a Docker engine, with `--engine docker`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.command import CommandResult, CommandTimeout
from lifecycle.cnb.deadline import Deadline
from lifecycle.oci.archive import Owner
from lifecycle.privileges import become, run_apart
from pybuild.builder import Builder, default_definition_path, ensure_builder, read_definition
from pybuild.builder.bases import read_base_image
from pybuild.engines.docker_run import Containers, run_in_container
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.errors import DockerUnusable
from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.engine import DockerEngine
from tests.integration.machine import expect_no_processes
from tests.integration.package_index import PackageIndex, write_sleeper
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.engine

_LACKING = 4
_FACTS = """
id -u; id -g; id -un; umask; ulimit -c; hostname; pwd; grep -E 'CapEff|NoNewPrivs' /proc/self/status; grep -c : /proc/net/dev
touch /shown/new /usr/new /tmp/new 2>&1; sort -z /proc/self/environ | tr '\\0' '\\n'
"""


@pytest.fixture
def pybuild(offline_pybuild: Pybuild, engine: DockerEngine) -> Pybuild:
    return offline_pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}")


@pytest.fixture(scope="module")
def builder(machine_store: Path) -> Builder:
    return ensure_builder(read_definition(default_definition_path()), machine_store, RecordingLog())


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where commands run, either way; everybody may enter `directory`."""

    sandbox: Sandbox
    containers: Containers
    directory: Path

    def run(self, script: str, *, within_s: float = 60) -> CommandResult:
        """How a script ended in a container."""
        return run_in_container(
            self.containers,
            self.sandbox,
            ["/bin/sh", "-c", script],
            on_line=lambda _: None,
            deadline=Deadline.after(within_s),
        )


@pytest.fixture
def place(builder: Builder, engine: DockerEngine) -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="pybuild-place-"))
    directory.chmod(0o755)
    for name in ("shown", "writable", "scratch"):
        (directory / name).mkdir()
    mounts = (
        Mount(source=directory / "shown", target=PurePosixPath("/shown")),
        Mount(source=directory / "writable", target=PurePosixPath("/tmp"), writable=True),
    )
    env = {**builder.env, "TEXT": 'two\nlines, "quoted"', "http_proxy": "http://someone:secret@proxy", "HOME": "/tmp"}
    opened = (PurePosixPath("/"),)
    yield Place(
        sandbox=Sandbox(
            rootfs=builder.rootfs, mounts=mounts, env=env, network=False, cwd=PurePosixPath("/tmp"), opened=opened
        ),
        containers=Containers(
            base=read_base_image(builder.build_base),
            owned=(directory / "writable",),
            scratch=directory / "scratch",
            env={"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{engine.socket}"},
            log=RecordingLog(),
        ),
        directory=directory,
    )
    expect_no_containers(engine)
    shutil.rmtree(directory)


def expect_no_containers(engine: DockerEngine, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while left := engine("ps", "--all", "--quiet").split():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def digest(said: str) -> str:
    found: str = re.findall(r"sha256:[0-9a-f]{64}", said)[-1]
    return found


def test_detection_and_build_run_in_containers_and_share_the_cache_with_the_sandbox(
    pybuild: Pybuild, engine: DockerEngine, repository: Path, tmp_path: Path
) -> None:
    shown = tmp_path / "shown, too"
    shown.mkdir()
    volume = ("--volume", f"{shown}:/opt/shown")
    since = f"{time.time():.9f}"
    first = expect_success(pybuild("build", repository, "--engine", "docker", *volume))
    assert len(engine.containers_since(since)) == 2
    expect_no_containers(engine)
    # What the container's user has written belongs to the one who builds.
    store = pybuild.cache_home / "pybuild"
    assert {path.lstat().st_uid for path in store.rglob("*")} == {os.geteuid()}
    (repository / "requirements.txt").write_text("beta\n")
    sandbox = expect_success(pybuild("build", repository))
    docker = expect_success(pybuild("build", repository, "--engine", "docker"))
    assert "nothing has changed" in docker.stderr
    assert digest(docker.stdout) == digest(sandbox.stdout) != digest(first.stdout)


def test_a_command_sees_in_a_container_what_it_sees_in_the_sandbox(place: Place) -> None:
    expected = run_sandboxed(place.sandbox, ["/bin/sh", "-c", _FACTS])
    (place.directory / "writable" / "new").unlink()
    found = place.run(_FACTS)
    assert found.output.splitlines() == expected.output.splitlines()
    assert "secret" in found.output
    assert (place.directory / "writable" / "new").stat().st_uid == os.geteuid()
    assert place.run("echo out; echo err >&2; exit 7") == CommandResult(status=7, output="out\nerr\n")


def test_what_others_may_not_read_is_named(place: Place) -> None:
    (place.directory / "shown").chmod(0o700)
    with pytest.raises(DockerUnusable, match="shown"):
        place.run("true")


def test_the_user_of_the_build_has_the_number_of_whoever_builds(place: Place, engine: DockerEngine) -> None:
    place.run("true")
    rootfs = place.directory / "rootfs"
    (rootfs / "etc").mkdir(parents=True)
    shutil.copy(place.sandbox.rootfs / "etc" / "passwd", rootfs / "etc")
    name = next(line.split(":")[0] for line in (rootfs / "etc" / "passwd").read_text().splitlines() if ":1000:" in line)
    for path in (place.directory / "writable", place.directory / "scratch"):
        os.chown(path, 4321, 4321)
    engine.socket.parent.chmod(0o711)
    os.chown(engine.socket, 0, 4321)

    def work() -> int:
        become(Owner(user_id=4321, group_id=4321))
        done = replace(place, sandbox=replace(place.sandbox, rootfs=rootfs)).run("id -un >/tmp/name; id -u")
        print(done.output)
        return done.status

    assert run_apart(work) == 0
    written = place.directory / "writable" / "name"
    assert (written.read_text(), written.stat().st_uid) == (f"{name}\n", 4321)


def test_a_container_ends_when_its_time_is_up(place: Place) -> None:
    since = time.monotonic()
    with pytest.raises(CommandTimeout):
        place.run("sleep 600", within_s=3)
    # It is not asked first and waited for.
    assert time.monotonic() - since < 3 + 4


def test_no_container_outlives_a_build_that_is_killed(
    pybuild: Pybuild, engine: DockerEngine, index: PackageIndex, repository: Path
) -> None:
    write_sleeper(index.directory)
    (repository / "requirements.txt").write_text("sleeper\n")
    running = pybuild.start("build", repository, "--engine", "docker")
    running.wait_for("---> pybuild/pip")
    os.kill(running.process.pid, signal.SIGKILL)
    assert running.finish().status == -signal.SIGKILL
    expect_no_processes(pybuild.cache_home)
    expect_no_containers(engine)


def test_an_engine_that_is_not_there_is_named(pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    nowhere = pybuild.with_env(DOCKER_HOST=f"unix://{tmp_path / 'nowhere'}")
    message = expect_error(nowhere("build", repository, "--engine", "docker"), _LACKING, "does not answer")
    assert "DOCKER_HOST" in message
