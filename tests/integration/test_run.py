"""`pybuild run`: who a command runs as and what it may do, and images that aim at the machine."""

from __future__ import annotations

import contextlib
import os
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.command import Pybuild, Running, expect_error, expect_success, ordinary_environment
from tests.integration.derived_images import derive_image, shell_image, write_image
from tests.integration.machine import expect_no_processes
from tests.lifecycle.oci.images import member, tar_layer

pytestmark = pytest.mark.integration


_PROGRAMS = ("sh", "cat", "env", "grep", "id", "ls", "mount", "printenv", "readlink", "sleep", "touch", "wc")
_PASSWD = "root:x:0:0::/root:/bin/sh\npybuild:x:1000:1000::/home/pybuild:/bin/sh\napp:x:1234:2345::/srv:/bin/sh\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layout with an image of a few programs, which its ordinary user runs."""
    directory = tmp_path_factory.mktemp("small")
    programs = shell_image(directory / "blobs", *_PROGRAMS)
    members: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]] = [
        member("tmp", kind=tarfile.DIRTYPE, mode=0o1777),
        member("root", kind=tarfile.DIRTYPE, mode=0o700),
        (member("root/secret"), b"secret\n"),
        (member("etc/passwd"), _PASSWD.encode()),
        member("var/run", kind=tarfile.SYMTYPE, link="/run"),
    ]
    write_image(directory / "layout", programs, [tar_layer(directory / "blobs", members)])
    return directory / "layout"


@pytest.fixture
def derive(small: Path, tmp_path: Path) -> Callable[..., str]:
    """Makes an image on the small one, of what `derive_image` takes."""
    return lambda **changes: derive_image(small, tmp_path / "derived", **changes)


@pytest.fixture
def pybuild(tmp_path: Path) -> Iterator[Pybuild]:
    """The command with an empty store: images are run without a builder."""
    yield Pybuild(env=ordinary_environment(tmp_path / "cache-home"))
    remove_tree(tmp_path / "cache-home")


def said(pybuild: Pybuild, location: str, script: str, *options: str | Path) -> list[str]:
    """Lines of a script's standard output, which must end well."""
    return expect_success(pybuild("run", *options, location, "--", "sh", "-c", script)).stdout.splitlines()


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, ["0", "0", "/root"]),
        ("root", ["0", "0", "/root"]),
        ("pybuild", ["1000", "1000", "/home/pybuild"]),
        ("1000:0", ["1000", "0", "/home/pybuild"]),
        ("app", ["1234", "2345", "/srv"]),
        ("54321", ["54321", "0", "/"]),
    ],
)
def test_a_command_runs_as_the_images_user(
    user: str | None, expected: list[str], pybuild: Pybuild, derive: Callable[..., str]
) -> None:
    assert said(pybuild, derive(user=user), "id -u; id -g; echo $HOME") == expected


def test_a_user_may_do_with_files_what_it_may_in_a_container(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    script = """
        for path in /bin/added /etc/passwd /tmp/added /srv/mine; do (echo x >> $path) 2>/dev/null && echo $path; done
        cat /root/secret 2>/dev/null || echo no
    """
    mine = {"files": {"srv/roots": "x"}}
    assert said(pybuild, derive(**mine), script) == ["/tmp/added", "no"]
    rights = ["/bin/added", "/etc/passwd", "/tmp/added", "/srv/mine", "secret"]
    assert said(pybuild, derive(user="root", **mine), script) == rights


def test_root_may_not_do_what_the_files_of_the_image_have_nothing_to_do_with(
    pybuild: Pybuild, derive: Callable[..., str]
) -> None:
    lines = said(pybuild, derive(user="root"), "grep CapEff /proc/self/status; mount -t tmpfs x /mnt 2>&1 || echo no")
    # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE, SYS_CHROOT
    assert lines[0].split() == ["CapEff:", "00000000000404fb"]
    assert lines[-1] == "no"


def test_a_working_directory_that_is_not_there_is_made(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    location = derive(user="1000", working_dir="/not/there")
    assert said(pybuild, location, "pwd; touch x 2>/dev/null || echo no") == ["/not/there", "no"]
    assert said(pybuild, location, "pwd", "--workdir", "/tmp/other") == ["/tmp/other"]


def test_a_volume_is_shown_where_the_images_links_lead(
    pybuild: Pybuild, derive: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "file").write_text("content")
    location = derive(links={"data": "/var/run/data"})
    options = ("--volume", f"{tmp_path / 'volume'}:/data/set:ro")
    assert said(pybuild, location, "cat /data/set/file; echo; readlink -f /data/set", *options) == [
        "content",
        "/run/data/set",
    ]


def test_an_image_without_a_shell_runs(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    location = derive(removed=("bin/sh",), cmd=("id", "-u"))
    assert expect_success(pybuild("run", location)).stdout == "1000\n"


def test_a_program_that_is_not_there_has_the_status_of_a_shell(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    assert pybuild("run", derive(), "--", "missing").status == 127


@pytest.mark.parametrize("name", ["etc/hosts", "etc/resolv.conf"])
def test_links_do_not_lead_the_sandbox_out(
    name: str, pybuild: Pybuild, derive: Callable[..., str], tmp_path: Path
) -> None:
    # Where bubblewrap has the machine's files while it sets up a sandbox.
    guard = tmp_path / "guard"
    guard.mkdir()
    location = derive(links={name: f"/oldroot{guard}/made", "data": f"/oldroot{guard}", "loop": "loop"})
    assert said(pybuild, location, f"cat /{name} | wc -l") != ["0"]
    options = ("--volume", f"{tmp_path}:/data/there", "--workdir", "/data/work")
    assert said(pybuild, location, "pwd -P", *options) == [f"/oldroot{guard}/work"]
    assert list(guard.iterdir()) == []
    finished = pybuild("run", "--volume", f"{tmp_path}:/loop/x", location, "--", "true")
    expect_error(finished, 3, "links without an end")


def test_variables_of_an_image_reach_no_program_of_the_machine(
    pybuild: Pybuild, derive: Callable[..., str], tmp_path: Path
) -> None:
    # The working directory may be that of the repository that the image was made from.
    place = tmp_path / "repository"
    place.mkdir()
    for name in ("sh", "mount", "cp", "bwrap", "unshare"):
        (place / name).write_text(f"#!/bin/sh\ntouch {place}/reached\n")
        (place / name).chmod(0o755)
    env = ("PATH=.:/usr/bin:/bin", "LD_PRELOAD=./evil.so", "LD_LIBRARY_PATH=.", "BASH_ENV=./sh", "SHELLOPTS=xtrace")
    (place / "evil.so").write_text("no library")
    command = Pybuild(env=pybuild.env, cwd=place, program=pybuild.program)
    finished = command("run", derive(env=env, user="root", working_dir="/usr"), "--", "printenv", "LD_PRELOAD")
    assert finished.stdout == "./evil.so\n"
    assert not (place / "reached").exists()
    assert "Traceback" not in finished.stderr


def test_a_nul_byte_in_the_configuration_is_no_option(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    location = derive(env=("PATH=/usr/bin:/bin", "A=b\0--bind\0/\0/mnt"))
    expect_error(pybuild("run", location, "--", "ls", "/mnt"), 3, "NUL byte")
    location = derive(entrypoint=("ls", "a\0b"))
    expect_error(pybuild("run", location), 3, "NUL byte")


def test_the_environment_is_not_shown_to_other_users_of_the_machine(
    pybuild: Pybuild, derive: Callable[..., str]
) -> None:
    command = ("run", "--env", "TOKEN=canary-of-this-test", derive(), "--", "sh", "-c", "env >&2; sleep 60")
    with started(pybuild, *command) as running:
        running.wait_for("canary-of-this-test")
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # processes end while they are looked at
                lines.append((process / "cmdline").read_bytes())
    shown = [line for line in lines if b"canary-of-this-test" in line and b"pybuild\0run" not in line]
    assert shown == []


def test_what_a_killed_process_left_is_removed_by_the_next(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    location = derive(user="1000")
    store = pybuild.cache_home / "pybuild" / "run"
    with started(pybuild, "run", location, "--", "sh", "-c", "touch /tmp/x; echo there >&2; sleep 600") as running:
        running.wait_for("there")
        assert len(list(store.glob("scratch-*"))) == 1
        # What is in use stays.
        assert said(pybuild, location, "echo yes") == ["yes"]
        assert len(list(store.glob("scratch-*"))) == 1
    expect_no_processes(store)
    assert len(list(store.glob("scratch-*"))) == 1
    assert said(pybuild, location, "echo yes") == ["yes"]
    assert not list(store.glob("scratch-*"))


def test_termination_ends_the_command_and_leaves_nothing(pybuild: Pybuild, derive: Callable[..., str]) -> None:
    store = pybuild.cache_home / "pybuild" / "run"
    with started(pybuild, "run", derive(), "--", "sh", "-c", "echo there >&2; sleep 600") as running:
        running.wait_for("there")
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(30) == 128 + signal.SIGTERM
    assert not list(store.glob("scratch-*"))
    expect_no_processes(store)


@contextlib.contextmanager
def started(pybuild: Pybuild, *arguments: str) -> Iterator[Running]:
    """A command that is under way, and is killed at the end of the context."""
    running = pybuild.start(*arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.finish()
