"""The sandbox with the real bubblewrap; the machine's own root stands in for a builder's, which changes nothing of the rules."""

from __future__ import annotations

import os
import time
from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Deadline
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.errors import ToolMissing

pytestmark = pytest.mark.integration


def sandbox(*mounts: Mount, network: bool = False, **env: str) -> Sandbox:
    return Sandbox(
        rootfs=Path("/"),
        mounts=mounts,
        env={"PATH": "/usr/bin:/bin", **env},
        network=network,
        cwd=PurePosixPath("/"),
    )


def run(box: Sandbox, script: str, *, deadline_s: float = 60) -> tuple[int, str]:
    result = run_sandboxed(box, ["sh", "-c", script], deadline=Deadline.after(deadline_s))
    return result.status, result.output


def test_only_what_is_mounted_writable_can_be_written(tmp_path: Path) -> None:
    writable, readable = tmp_path / "writable", tmp_path / "readable"
    writable.mkdir()
    readable.mkdir()
    box = sandbox(
        Mount(source=writable, target=PurePosixPath("/mnt"), writable=True),
        Mount(source=readable, target=PurePosixPath("/srv")),
    )
    status, output = run(box, "touch /mnt/a; touch /srv/b; touch /etc/c; touch /usr/d; true")
    assert status == 0
    assert [path.name for path in writable.iterdir()] == ["a"]
    assert output.count("Read-only file system") == 3


def test_the_environment_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    _, output = run(sandbox(GREETING="hello world"), "env")
    # bubblewrap and the shell add where they are.
    names = {line.partition("=")[0] for line in output.splitlines()} - {"PWD", "_", "SHLVL"}
    assert names == {"PATH", "GREETING"}
    assert "GREETING=hello world" in output.splitlines()


def test_an_ordinary_user_without_capabilities() -> None:
    _, output = run(sandbox(), "id -u; id -g; grep CapEff /proc/self/status; umask; ulimit -c")
    assert output.split() == ["1000", "1000", "CapEff:", "0000000000000000", "0022", "0"]


def test_it_may_not_mount() -> None:
    status, _ = run(sandbox(), "mount -t tmpfs none /mnt 2>/dev/null")
    assert status != 0


def test_without_network_there_is_no_way_out() -> None:
    _, output = run(sandbox(), "cat /proc/net/dev")
    interfaces = [line.split(":")[0].strip() for line in output.splitlines() if ":" in line]
    assert interfaces == ["lo"]


def test_processes_of_the_machine_are_not_seen() -> None:
    _, output = run(sandbox(), "ls /proc | grep -c '^[0-9]'")
    assert int(output) < 10


def test_nothing_is_inherited_but_the_standard_streams() -> None:
    descriptor = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        _, output = run(sandbox(), "ls /proc/self/fd")
    finally:
        os.close(descriptor)
    assert set(output.split()) <= {"0", "1", "2", "3"}


def test_the_exit_status_is_the_commands() -> None:
    assert run(sandbox(), "exit 7")[0] == 7


def test_the_deadline_ends_it_with_all_it_started(tmp_path: Path) -> None:
    box = sandbox(Mount(source=tmp_path, target=PurePosixPath("/mnt"), writable=True))
    script = "setsid sh -c 'while :; do date +%s.%N > /mnt/alive; sleep 0.05; done' & sleep 60"
    with pytest.raises(CommandTimeout):
        run(box, script, deadline_s=1)
    time.sleep(0.3)
    last = (tmp_path / "alive").read_text()
    time.sleep(0.5)
    assert (tmp_path / "alive").read_text() == last


def test_what_stays_in_the_background_ends_with_the_command(tmp_path: Path) -> None:
    box = sandbox(Mount(source=tmp_path, target=PurePosixPath("/mnt"), writable=True))
    status, _ = run(box, "setsid sh -c 'while :; do date +%s.%N > /mnt/alive; sleep 0.05; done' & sleep 0.3")
    assert status == 0
    time.sleep(0.3)
    last = (tmp_path / "alive").read_text()
    time.sleep(0.5)
    assert (tmp_path / "alive").read_text() == last


def test_missing_bubblewrap_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing) as caught:
        run(sandbox(), "true")
    assert caught.value.exit_code == 4
    assert caught.value.hint is not None
    assert "apt-get install bubblewrap" in caught.value.hint
