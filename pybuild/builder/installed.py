"""Finds CPython installations on the machine that could be packed: those with a prefix of their own, not a distribution's in /usr."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lifecycle.cnb.command import CommandNotStarted, run_command
from pybuild.builder.errors import InterpreterUnusable
from pybuild.machine import home_directory

STANDALONE, MACHINE = "python-build-standalone", "machine"
_QUESTION = """
import json, platform, sys
print(json.dumps([sys.implementation.name, platform.python_version(), sys.base_prefix]))
"""
_PROGRAM = re.compile(r"python3\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPython:
    """A CPython installation. `version` is exact; `prefix` has no links in it."""

    prefix: Path
    version: str
    origin: str

    @property
    def minor(self) -> str:
        """`3.10` of `3.10.13`."""
        return self.version.rpartition(".")[0]

    @staticmethod
    def at(prefix: Path, *, origin: str) -> InstalledPython:
        """The installation in `prefix`, as its own program describes it. Raises `InterpreterUnusable`."""
        programs = sorted(path for path in (prefix / "bin").glob("python3.*") if _PROGRAM.fullmatch(path.name))
        for program in programs:
            found = _ask(program)
            if found is not None and found.prefix == prefix.resolve():
                return InstalledPython(prefix=found.prefix, version=found.version, origin=origin)
        raise InterpreterUnusable(f"`{prefix}` holds no CPython that starts")


def find_installed(requested: str, env: Mapping[str, str]) -> tuple[InstalledPython, ...]:
    """Installations that satisfy `requested` (`3.10` or `3.10.13`), newest first."""
    minor = ".".join(requested.split(".")[:2])
    found: dict[Path, InstalledPython] = {}
    managed = _managed_by_uv(env)
    for program in _programs(minor, env):
        python = _ask(program)
        if python is None or python.prefix in found or python.prefix in (Path("/usr"), Path("/")):
            continue
        # conda's interpreters load libraries of their environment.
        if (python.prefix / "conda-meta").exists():
            continue
        if requested in (python.version, python.minor):
            is_standalone = managed.resolve() in python.prefix.parents
            found[python.prefix] = replace(python, origin=STANDALONE) if is_standalone else python
    return tuple(sorted(found.values(), key=lambda python: _release(python.version), reverse=True))


def _programs(minor: str, env: Mapping[str, str]) -> Iterator[Path]:
    """Every program `python<minor>` in the places where people have them."""
    home = home_directory(env)
    pyenv = Path(env.get("PYENV_ROOT") or home / ".pyenv")
    managed = _managed_by_uv(env)
    directories = [prefix / "bin" for prefix in _matches(managed, f"cpython-{minor}*")]
    directories += [prefix / "bin" for prefix in _matches(pyenv / "versions", f"{minor}*")]
    directories += [Path(name) for name in env.get("PATH", "").split(os.pathsep) if name]
    directories += [Path("/usr/local/bin"), *sorted(Path("/opt").glob(f"*python*{minor}*/bin"))]
    for directory in directories:
        program = directory / f"python{minor}"
        if os.access(program, os.X_OK):
            yield program


def _matches(directory: Path, pattern: str) -> list[Path]:
    """What matches in `directory`, sorted; what may not be read, such as another user's home, has nothing."""
    try:
        return sorted(directory.glob(pattern))
    except PermissionError:
        return []


def _managed_by_uv(env: Mapping[str, str]) -> Path:
    """Where uv keeps the python-build-standalone interpreters that its user installed."""
    home = home_directory(env)
    data = Path(env.get("XDG_DATA_HOME") or home / ".local" / "share")
    return Path(env.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")


def _ask(program: Path) -> InstalledPython | None:
    """What `program` says it is; None where it is not a CPython or does not start (a shim of pyenv may not)."""
    try:
        # -I: neither the user's packages nor PYTHON* variables; -S: no site, so no .pth files either
        result = run_command(
            [str(program), "-I", "-S", "-c", _QUESTION], env={"PATH": os.defpath, "HOME": "/nonexistent"}
        )
        implementation, version, prefix = json.loads(result.output)
    except (CommandNotStarted, ValueError):
        return None
    if implementation != "cpython" or result.status != 0:
        return None
    return InstalledPython(prefix=Path(prefix).resolve(), version=version, origin=MACHINE)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
