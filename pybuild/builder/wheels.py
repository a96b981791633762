"""Packages for the Python of a build base, from the index that this machine uses: uv downloads wheels for it, and builds nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from pybuild.builder.crew import Crew
from pybuild.builder.errors import PackagingFailed, ToolUnavailable
from pybuild.builder.tools import find_uv
from pybuild.engines.sandbox import Mount, Sandbox, bubblewrap_command
from pybuild.host import read_uv_environment
from pybuild.machine import home_directory

# The oldest C library whose wheels are taken, whatever the machine that makes the builder has: that of Debian 10.
_PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
# Installers write these for those who uninstall; they name paths of the machine.
_INSTALLERS_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_TRUE = ("1", "true", "yes", "on")


def install_wheels(
    requirements: Sequence[str], python_version: str, packages: Path, crew: Crew, *, title: str, advice: str = ""
) -> None:
    """Install `requirements`, uv's arguments, into the directory `packages`; `title` is what it is for people.

    Raises:
        ToolUnavailable: the package index of this machine has not all of it, or cannot be reached.
    """
    options = ["--target", str(packages), "--python", sys.executable, "--python-version", python_version]
    platform = _PLATFORMS.get(host_architecture())
    options += ["--python-platform", platform] if platform else []
    options += ["--only-binary", ":all:", "--no-deps"]
    options += ["--index-strategy", "unsafe-best-match", "--link-mode", "copy", "--no-progress"]
    env = read_uv_environment(crew.env, home_directory(crew.env))
    # For this setting uv has an option and no variable.
    options += ["--no-index"] if env.get("UV_NO_INDEX", "").lower() in _TRUE else []
    command = [str(find_uv()), "pip", "install", *options, *requirements]
    # Elsewhere than here, where a uv.toml of a project may lie.
    result = crew.run(command, env=env, cwd=packages)
    if result.status != 0:
        lines = [line.strip() for line in result.output.splitlines() if line.strip()][-4:]
        raise ToolUnavailable(
            f"{title} cannot be downloaded",
            tuple(("uv", line) for line in lines),
            "the package index of this machine (pip.conf, uv.toml, `PIP_INDEX_URL`, `UV_DEFAULT_INDEX`) must be reachable and "
            f"have the files of PyPI that are needed{advice}",
        )


def clean_packages(packages: Path) -> None:
    """Remove what names the machine, and what nobody runs."""
    (packages / ".lock").unlink(missing_ok=True)
    remove_tree(packages / "bin")
    for path in packages.glob("*.dist-info/*"):
        if path.name in _INSTALLERS_NOTES:
            path.unlink()
    for path in packages.rglob("__pycache__"):
        shutil.rmtree(path)
    for path in packages.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def base_python_version(rootfs: Path, crew: Crew) -> str:
    """Return the version of the Python of a build base, such as `3.11`. Raises `PackagingFailed`."""
    question = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    return run_inside(rootfs, (), ["/usr/bin/python3", "-I", "-c", question], crew).strip()


def run_inside(rootfs: Path, mounts: tuple[Mount, ...], argv: list[str], crew: Crew) -> str:
    """Return what `argv` says in the build base. Raises `PackagingFailed`."""
    sandbox = Sandbox(
        rootfs=rootfs,
        mounts=mounts,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", "PYTHONHASHSEED": "0"},
        network=False,
        cwd=PurePosixPath("/"),
    )
    result = crew.run(bubblewrap_command(sandbox, argv), env=sandbox.env)
    if result.status != 0:
        details = tuple(("python3", line) for line in result.output.strip().splitlines()[-3:])
        raise PackagingFailed(f"`{argv[0]}` does not work in the build base", details)
    return result.output
