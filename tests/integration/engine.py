"""A Docker engine of the test's own: Debian's dockerd on a private socket, gone when the tests are."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Debian's own client, which carries BuildKit; a newer one would need the buildx plugin for it.
_CLIENT, _DAEMON = "/usr/bin/docker", "/usr/sbin/dockerd"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """A running engine."""

    socket: Path

    def run(self, *arguments: str, check: bool = True, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Result of the docker command; AssertionError with its output when `check` and it fails."""
        env = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "1"}
        result = subprocess.run(
            [_CLIENT, *arguments], env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check:
            said = f"{result.stdout}\n{result.stderr}"
            assert result.returncode == 0, f"docker {' '.join(arguments)} ended with {result.returncode}:\n{said}"
        return result

    def __call__(self, *arguments: str) -> str:
        """Standard output of a docker command that must succeed."""
        return self.run(*arguments).stdout

    def containers_since(self, since: str) -> list[str]:
        """The containers that started after `since`, seconds of the epoch."""
        span = ("--since", since, "--until", f"{time.time():.9f}")
        return self("events", *span, "--filter", "event=start", "--format", "{{.ID}}").split()

    def load(self, archive: Path) -> str:
        """Id of the image that `docker load` makes of an archive."""
        said = self("load", "--quiet", "--input", str(archive)).strip().splitlines()[-1]
        name = said.split(": ", 1)[1]
        return self("image", "inspect", "--format", "{{.Id}}", name).strip()


@contextlib.contextmanager
def docker_engine(daemon: Callable[[Path], Sequence[str]] = lambda _: [_DAEMON]) -> Iterator[DockerEngine]:
    """An engine without bridge and firewall rules: containers have the network of the machine or none.

    `daemon`: what starts the engine that works in a directory.
    """
    # A socket's path may have 107 bytes, so not below pytest's directory.
    directory = Path(tempfile.mkdtemp(prefix="pybuild-docker-"))
    socket = directory / "socket"
    options = ["--bridge", "none", "--iptables=false", "--host", f"unix://{socket}"]
    for name in ("data-root", "exec-root", "pidfile"):
        options += [f"--{name}", str(directory / name)]
    # The kernel ends the engine with this process, also when that is killed.
    command = ["setpriv", "--pdeathsig", "TERM", *daemon(directory), *options]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        engine = DockerEngine(socket=socket)
        _wait_until_ready(engine, process, directory / "log")
        yield engine
    finally:
        _stop(process)
        unmount_below(directory)
        shutil.rmtree(directory)


def _wait_until_ready(engine: DockerEngine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while engine.run("version", check=False).returncode != 0:
        assert process.poll() is None, f"dockerd ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"dockerd does not answer:\n{log.read_text()}"
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # It stops its containers first.
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def unmount_below(directory: Path) -> None:
    """Take away whatever is mounted in `directory`."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", mount], check=True)
