"""The tools that go into the builder: uv from the Python package that pybuild depends on, and the wheel of pip."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import uv

from pybuild.builder.crew import Crew
from pybuild.builder.errors import ToolUnavailable
from pybuild.builder.kept import make_directory

_UV_VERSION = re.compile(r"uv (\S+)")
# uv asks `sysconfig`, which in older Pythons gives a second thread what the first has not finished
# (https://github.com/python/cpython/issues/92452).
_one_at_a_time = threading.Lock()


def find_uv() -> Path:
    """Path of the uv program. Raises `ToolUnavailable`."""
    try:
        with _one_at_a_time:
            return Path(uv.find_uv_bin())
    except FileNotFoundError as err:
        raise ToolUnavailable(
            "the program of the Python package `uv` is missing", advice="reinstall it: pip install --force-reinstall uv"
        ) from err


def read_uv_version(program: Path, crew: Crew) -> str:
    """Version that uv says it is. Raises `ToolUnavailable`."""
    result = crew.run([str(program), "--version"], env=crew.env)
    match = _UV_VERSION.match(result.output)
    if result.status != 0 or match is None:
        raise ToolUnavailable(f"`{program} --version` does not answer", (("output", result.output.strip()),))
    return match[1]


def pip_wheel_path(version: str, store: Path) -> Path:
    """Where the store has the wheel of pip `version`, there or not."""
    return store / "wheels" / f"pip-{version}" / f"pip-{version}-py3-none-any.whl"


def fetch_pip_wheel(version: str, store: Path, crew: Crew) -> None:
    """Put the wheel of pip `version` into the store, from the index that this machine uses.

    Raises:
        ToolUnavailable: the index has no such version or cannot be reached.
    """
    wheel = pip_wheel_path(version, store)

    def fetch(directory: Path) -> None:
        requirement = f"pip=={version}"
        with tempfile.TemporaryDirectory(prefix="pybuild-pip-") as scratch:
            path = Path(scratch)
            command = [*_pip_command(requirement, path, crew), "download", "--no-deps", "--only-binary=:all:"]
            options = ["--quiet", "--disable-pip-version-check", "--dest", str(directory), requirement]
            env = {**crew.env, "PYTHONPATH": str(path / "pip")}
            result = crew.run([*command, *options], env=env, cwd=path)
        if result.status != 0 or not (directory / wheel.name).is_file():
            raise _unavailable(version, result.output)

    make_directory(wheel.parent, fetch)


def _pip_command(requirement: str, scratch: Path, crew: Crew) -> list[str]:
    """A pip to download with: that of this Python, or one that uv fetches into `scratch`."""
    command = [sys.executable, "-m", "pip"]
    env = {name: value for name, value in crew.env.items() if name != "PYTHONPATH"}
    if crew.run([*command, "--version"], env=env, cwd=scratch).status == 0:
        return command
    uv_command = [str(find_uv()), "pip", "install", "--quiet", "--python", sys.executable]
    result = crew.run([*uv_command, "--target", str(scratch / "pip"), requirement], env=crew.env, cwd=scratch)
    if result.status != 0:
        raise _unavailable(requirement.partition("==")[2], result.output)
    return command


def _unavailable(version: str, output: str) -> ToolUnavailable:
    lines = [line for line in output.strip().splitlines() if line.strip()][-4:]
    return ToolUnavailable(
        f"pip {version} cannot be downloaded",
        tuple(("pip", line.strip()) for line in lines),
        "the package index of this machine (pip.conf, `PIP_INDEX_URL`, `UV_DEFAULT_INDEX`) must be reachable and have that "
        "version; `[pybuild.tools]` of builder.toml names another",
    )


def copy_tools(uv_program: Path, pip_wheel: Path, directory: Path) -> None:
    """Put the tools into `directory`, which becomes `/opt/pybuild`."""
    (directory / "bin").mkdir(parents=True)
    (directory / "wheels").mkdir()
    shutil.copyfile(uv_program, directory / "bin" / "uv")
    (directory / "bin" / "uv").chmod(0o755)
    shutil.copyfile(pip_wheel, directory / "wheels" / pip_wheel.name)
