"""What the tests have for arm64: an interpreter in the form of python-build-standalone, and an emulator to run what was built.

The interpreter is Debian's, from its package archive; pybuild itself executes nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pybuild.builder.sources import machine_apt_settings, machine_sources
from pybuild.engines.sandbox import Mount, Sandbox, run_sandboxed

SUITE, MINOR = "bookworm", "3.11"
_PACKAGES = (
    f"python{MINOR}-minimal",
    f"libpython{MINOR}-minimal",
    f"libpython{MINOR}-stdlib",
    f"libpython{MINOR}-dev",
    "libexpat1",
)
# What Debian's interpreter loads and the run base has not; of the libraries beside an interpreter those with its name are taken.
_OWN_LIBRARY = f"libpython{MINOR}-expat.so"
EMULATOR = Path("/usr/bin/qemu-aarch64-static")
_EMULATOR_INSIDE = PurePosixPath("/tmp/emulator/qemu")


def make_downloads(directory: Path, build_root: Path) -> Path:
    """A list of downloads for `UV_PYTHON_DOWNLOADS_JSON_URL` that has an arm64 CPython and nothing else.

    `build_root`: the root file system of a build base, which has patchelf.
    """
    tree = directory / "python"
    version = _make_prefix(tree, directory / "work")
    _let_find_libraries(tree, build_root)
    archive = directory / f"cpython-{version}-aarch64-install_only.tar.gz"
    with tarfile.open(archive, "w:gz") as writer:
        writer.add(tree, "python")
    shutil.rmtree(tree)
    major, minor, patch = (int(part) for part in version.split("."))
    entry = {
        "name": "cpython",
        "arch": {"family": "aarch64", "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": archive.as_uri(),
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": None,
    }
    downloads = directory / "downloads.json"
    downloads.write_text(json.dumps({f"cpython-{version}-linux-aarch64-gnu": entry}))
    return downloads


def run_emulated(rootfs: Path, *argv: str, env: Mapping[str, str] | None = None, workspace: Path | None = None) -> str:
    """Output of an arm64 program in the root file system of an image; it must succeed. What it starts is not emulated.

    `workspace` is `/workspace` for it, where it may write.
    """
    writable = () if workspace is None else ("--bind", str(workspace), "/workspace")
    result = subprocess.run(
        [
            "bwrap",
            *("--unshare-all", "--ro-bind", str(rootfs), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
            *writable,
            *("--ro-bind", str(EMULATOR), str(_EMULATOR_INSIDE), "--", str(_EMULATOR_INSIDE), *argv),
        ],
        env={"PATH": "/usr/bin:/bin", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout.strip()


def _make_prefix(tree: Path, work: Path) -> str:
    """Put an installation with a prefix of its own into `tree`; its version."""
    unpacked = work / "unpacked"
    for package in download_packages(work, *_PACKAGES):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(unpacked)], check=True)
    usr = unpacked / "usr"
    (tree / "bin").mkdir(parents=True)
    shutil.move(usr / "bin" / f"python{MINOR}", tree / "bin")
    shutil.copytree(usr / "lib" / f"python{MINOR}", tree / "lib" / f"python{MINOR}", symlinks=True)
    shutil.copytree(usr / "include" / f"python{MINOR}", tree / "include" / f"python{MINOR}", symlinks=True)
    shutil.copy(unpacked / "lib" / "aarch64-linux-gnu" / "libexpat.so.1", tree / "lib" / _OWN_LIBRARY)
    for path in tree.rglob("*"):
        # Debian's own settings, elsewhere
        if path.is_symlink() and path.readlink().is_absolute():
            path.unlink()
    header = (tree / "include" / f"python{MINOR}" / "patchlevel.h").read_text()
    version = next(line.split('"')[1] for line in header.splitlines() if line.startswith("#define PY_VERSION "))
    shutil.rmtree(work)
    return version


def _let_find_libraries(tree: Path, build_root: Path) -> None:
    """Let the program look for libraries beside itself, as python-build-standalone's does."""
    mount = Mount(source=tree, target=PurePosixPath("/layers"), writable=True)
    sandbox = Sandbox(
        rootfs=build_root, mounts=(mount,), env={"PATH": "/usr/bin:/bin"}, network=False, cwd=mount.target
    )
    # One after the other: both at once make patchelf 0.14 mix them up.
    for options in (["--replace-needed", "libexpat.so.1", _OWN_LIBRARY], ["--set-rpath", "$ORIGIN/../lib"]):
        result = run_sandboxed(sandbox, ["patchelf", *options, f"bin/python{MINOR}"])
        assert result.status == 0, result.output


def download_packages(work: Path, *packages: str) -> list[Path]:
    """Debian packages for arm64 by their names, got by an apt that knows nothing of this machine's packages."""
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text("".join(f"{source.render()}\n" for source in machine_sources(SUITE)))
    (work / "apt.conf").write_text("".join(f"{line}\n" for line in machine_apt_settings(os.environ)))
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": work,
        "Dir::State::Lists": work / "lists",
        "Dir::State::Status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    env = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}
    for arguments in (["update"], ["download", *packages]):
        command = ["apt-get", "-qq", *options, *arguments]
        subprocess.run(command, env=env, cwd=work / "packages", stdout=subprocess.DEVNULL, check=True)
    return sorted((work / "packages").glob("*.deb"))
