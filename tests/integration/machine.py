"""What a test must know of the machine it runs on: its traces, its processes, its users, small disks."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pybuild.host import read_host_settings
from tests.integration.command import CHECKOUT

# What everybody's machine is configured with says nothing of this one.
_COMMON_HOSTS = {
    "pypi.org",
    "files.pythonhosted.org",
    "deb.debian.org",
    "security.debian.org",
    "snapshot.debian.org",
    "localhost",
    "127.0.0.1",
}
_HOST = re.compile(r"(?:https?|ftp)://(?:[^/@\s\"']*@)?([A-Za-z0-9.-]+)")


def machine_traces(*directories: Path) -> dict[str, bytes]:
    """What must be in no image: a description of each trace, and its bytes; `directories` are those of this test."""
    settings = read_host_settings(os.environ, Path.home())
    traces = {
        "directory": [
            str(path) for path in (CHECKOUT, Path.cwd(), *directories, _python_prefix()) if len(path.parts) > 2
        ],
        "host name": [socket.gethostname()] if len(socket.gethostname()) > 5 else [],
        "proxy": [urlsplit(value).netloc for name, value in settings.proxies.items() if name.lower() != "no_proxy"],
        "package index": [*_index_hosts(settings.indexes), *(str(mount.source) for mount in settings.mounts)],
        "package mirror": _mirror_hosts(),
        "certificate": _own_certificates(),
    }
    return {f"{kind} {value[:60]}": value.encode() for kind, values in traces.items() for value in values if value}


def _python_prefix() -> Path:
    return Path(sys.base_prefix) if sys.base_prefix not in ("/usr", "/usr/local") else Path("/")


def _index_hosts(indexes: Mapping[str, str]) -> list[str]:
    found = {host for value in indexes.values() for host in _HOST.findall(value)}
    return sorted(found - _COMMON_HOSTS)


def _mirror_hosts() -> list[str]:
    """Hosts of the machine's apt sources and apt's proxies."""
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.*")]
    texts = [
        path.read_text(errors="replace") for path in lists if path.suffix in (".list", ".sources") and path.is_file()
    ]
    if shutil.which("apt-config"):
        dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        texts += [line for line in dumped.splitlines() if "proxy" in line.lower()]
    return sorted({host for text in texts for host in _HOST.findall(text)} - _COMMON_HOSTS)


def _own_certificates() -> list[str]:
    """A line of each certificate that the machine's administrator has added."""
    added = Path("/usr/local/share/ca-certificates")
    texts = [path.read_text(errors="replace") for path in added.rglob("*.crt")] if added.is_dir() else []
    bodies = [body for text in texts for body in re.findall(r"BEGIN CERTIFICATE-+\s+([^-]+)-", text)]
    return [body.split()[1] for body in bodies if len(body.split()) > 1]


def processes_that_see(directory: Path) -> list[str]:
    """Command lines of processes that have something below `directory` mounted, or are named after it."""
    names = [os.fsencode(name) for name in (directory, _in_its_file_system(directory))]
    found = []
    for process in Path("/proc").iterdir():
        # Processes end while they are looked at.
        with contextlib.suppress(OSError):
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            command = (process / "cmdline").read_bytes()
            seen = command + (process / "mountinfo").read_bytes()
            if any(name in seen for name in names) and b"Z (zombie)" not in (process / "status").read_bytes():
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def _in_its_file_system(directory: Path) -> Path:
    """What /proc/PID/mountinfo calls a directory where it is mounted elsewhere: its path from the root of its file system."""
    places = [line.split()[3:5] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    above = [(Path(mount_point), Path(root)) for root, mount_point in places if directory.is_relative_to(mount_point)]
    # Where two are mounted at one place, the later one is seen.
    mount_point, root = max(reversed(above), key=lambda place: len(place[0].parts))
    return root / directory.relative_to(mount_point)


def expect_no_processes(directory: Path, within_s: float = 10) -> None:
    """Return when no process sees `directory` any more; AssertionError with those that do after `within_s`."""
    deadline = time.monotonic() + within_s
    while left := processes_that_see(directory):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@contextlib.contextmanager
def small_disk(directory: Path, size_mb: int) -> Iterator[Path]:
    """`directory` as a disk of `size_mb` MB of its own; needs root."""
    directory.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(directory)]
    subprocess.run(command, check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextlib.contextmanager
def mounted_disk(image: Path, directory: Path) -> Iterator[Path]:
    """`directory` as the disk whose content is the file `image`; needs root."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdinaryUser:
    """A user without any rights, for the time of a test."""

    name: str
    home: Path

    @property
    def prefix(self) -> tuple[str, ...]:
        """Command that runs a command as this user, as a login would."""
        return ("setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups")

    def environment(self) -> dict[str, str]:
        """What a login sets, and where this machine's packages come from."""
        login = {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name, "TMPDIR": str(self.home / "tmp")}
        return {**login, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **_package_settings()}

    def give(self, source: Path, target: Path) -> None:
        """Copy a tree to where this user owns it."""
        subprocess.run([*self.prefix, "mkdir", "--parents", str(target.parent)], check=True)
        shutil.copytree(source, target, symlinks=True)
        subprocess.run(["chown", "--recursive", f"{self.name}:", str(target)], check=True)


def install_pybuild(user: OrdinaryUser) -> Path:
    """The program `pybuild`, installed from its wheel into the user's home, for the system's own Python."""
    venv = user.home / "venv"
    # The checkout and the Python of the tests may lie where others cannot read: a wheel may not need either.
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(user.home / "dist")]
    subprocess.run([*pip, str(CHECKOUT)], check=True)
    (wheel,) = (user.home / "dist").glob("*.whl")
    subprocess.run(["/usr/bin/python3", "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin/python"), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    subprocess.run(["chmod", "--recursive", "a+rX", str(venv)], check=True)
    return venv / "bin" / "pybuild"


def _package_settings() -> dict[str, str]:
    wanted = re.compile(r"(PIP|UV)_.*|.*_proxy|SSL_CERT_FILE|REQUESTS_CA_BUNDLE", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if wanted.fullmatch(name)}


@contextlib.contextmanager
def ordinary_user(name: str) -> Iterator[OrdinaryUser]:
    """A new user with a home directory and a range of subordinate ids, as `adduser` gives one; needs root."""
    home = Path(tempfile.mkdtemp(prefix="pybuild-home-"))
    home.rmdir()
    subprocess.run(["useradd", "--create-home", "--home-dir", str(home), "--user-group", name], check=True)
    try:
        user = OrdinaryUser(name=name, home=home)
        subprocess.run([*user.prefix, "mkdir", str(home / "tmp")], check=True)
        yield user
    finally:
        expect_no_processes(home, within_s=30)
        subprocess.run(["userdel", name], check=True)
        shutil.rmtree(home)
