"""Numbers of users for sandboxes that have a range of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Deadline
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed
from pybuild.engines.user_ids import IdRange, find_id_maps, read_subordinate_ids
from tests.integration.machine import expect_no_processes


def test_a_user_has_the_ranges_of_its_name_and_of_its_number(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text("ann:100000:65536\n# ann:1:1\nben:165536:65536\n1000:300000:10\nann:x:1\nann:5\n\nann:7:0\n")
    assert read_subordinate_ids(path, "ann", 1000) == ((100000, 65536), (300000, 10))
    assert read_subordinate_ids(path, "carl", 1001) == ()
    assert read_subordinate_ids(tmp_path / "absent", "ann", 1000) == ()


def test_a_range_is_what_the_kernel_reads() -> None:
    assert str(IdRange(1, 100000, 65536)) == "1 100000 65536"


def box(writable: Path) -> Sandbox:
    return Sandbox(
        rootfs=Path("/"),
        mounts=(Mount(source=writable, target=PurePosixPath("/mnt"), writable=True),),
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        network=False,
        cwd=PurePosixPath("/"),
        id_range=True,
        temporary=(PurePosixPath("/var/tmp"),),
    )


@pytest.mark.integration
def test_root_inside_can_be_every_user_and_mount(tmp_path: Path) -> None:
    script = "id -u && touch /mnt/a && chown 33:65535 /mnt/a && stat -c %u:%g /mnt/a && mount -t tmpfs none /media"
    result = run_sandboxed(box(tmp_path), ["sh", "-c", f"{script} && touch /media/b /var/tmp/c && ls /media /var/tmp"])
    assert (result.status, result.output.split()) == (0, ["0", "33:65535", "/media:", "b", "/var/tmp:", "c"])
    users = find_id_maps().users
    assert (tmp_path / "a").stat().st_uid == users[1].outside + 32


@pytest.mark.integration
def test_root_inside_has_no_power_over_the_machine(tmp_path: Path) -> None:
    attempts = "touch /etc/x; chown 33 /etc/hostname; echo 1 > /proc/sys/kernel/sysrq; date -s 0"
    result = run_sandboxed(box(tmp_path), ["sh", "-c", f"{attempts}; mknod /mnt/sda b 8 0"])
    assert result.status != 0
    assert result.output.count("Read-only file system") == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_nothing_outlives_the_time_limit(tmp_path: Path) -> None:
    script = "mount -t tmpfs none /media; (trap '' TERM; setsid sleep 1000) & trap '' TERM; sleep 1000"
    with pytest.raises(CommandTimeout):
        run_sandboxed(box(tmp_path), ["sh", "-c", script], deadline=Deadline.after(1))
    expect_no_processes(tmp_path)
