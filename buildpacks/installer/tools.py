"""The programs of the build image that the installer works with: the interpreter, uv, and the wheel of pip."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from buildpacks.installer.errors import MissingTool
from buildpacks.installer.foreign import Foreign, abi_of, find_foreign
from buildpacks.installer.settings import Installer
from lifecycle.cnb.kit import BuildContext

_DEFAULT_WHEELS = Path("/opt/pybuild/wheels")
# Everything that decides whether compiled packages and bytecode fit: not all of `sys.version`, which holds the day of its build.
# The first suffix has the ABI, which `sysconfig` takes longer to say than Python takes to start.
_IDENTIFY = (
    "import sys; from importlib.machinery import EXTENSION_SUFFIXES as suffixes;"
    "print(sys.version.split()[0], suffixes[0].split('.')[1], sys.implementation.cache_tag)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """The interpreter that the environment is for."""

    executable: Path
    """It runs here, also where the environment is `foreign`."""
    version: str
    """Exact: `3.10.13`."""
    abi: str
    """`cpython-310-x86_64-linux-gnu`."""
    cache_tag: str
    """`cpython-310`, as in the names of bytecode files."""
    foreign: Foreign | None = None
    """Set where the environment is for another architecture; version and ABI are then those of the interpreter there."""

    def __str__(self) -> str:
        return (
            f"{self.version} ({self.abi})"
            if self.foreign is None
            else f"{self.version} ({self.abi}, {self.foreign.wheels})"
        )

    @property
    def place(self) -> Path:
        """Where the image has it."""
        return self.executable if self.foreign is None else self.foreign.executable

    @property
    def minor(self) -> str:
        """`3.10`."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class PipWheel:
    """The pip that is put into every environment."""

    path: Path
    version: str

    def sha256(self) -> str:
        """Return the hash of the file in hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What one build installs with. `uv` is `None` when pip does it."""

    pip: PipWheel
    uv: Path | None
    version: str
    """Of the installer: `uv 0.9.1` or `pip 26.3`."""


def find_tools(context: BuildContext, installer: Installer) -> Tools:
    """Return the tools of `installer`. Raises `MissingTool`."""
    pip = find_pip_wheel(context.env)
    if installer == "pip":
        return Tools(pip=pip, uv=None, version=f"pip {pip.version}")
    uv, version = find_uv(context)
    return Tools(pip=pip, uv=uv, version=f"uv {version}")


def find_python(context: BuildContext) -> Python:
    """Return the interpreter that the `PATH` of the build has first, in a build for another architecture as the one of the image.

    Raises `InstallationFailed` and `MissingTool`.
    """
    python = identify_python(context, _which("python3", context.env))
    return for_foreign(python, find_foreign(context)) if context.target.is_foreign else python


def for_foreign(python: Python, foreign: Foreign) -> Python:
    """Return `python` standing for the one that the image has."""
    return replace(python, version=foreign.version, abi=abi_of(python.abi, foreign.machine), foreign=foreign)


def identify_python(context: BuildContext, executable: Path) -> Python:
    """Return what the interpreter says it is. Raises `MissingTool` when it does not run."""
    result = context.run([str(executable), "-IS", "-c", _IDENTIFY], echo=False, quiet=True)
    words = result.output.split()
    if result.status != 0 or len(words) != 3:
        raise MissingTool(tool="python3", looked_in=f"{executable}, which does not run: {result.output.strip()[-200:]}")
    return Python(executable=executable, version=words[0], abi=words[1], cache_tag=words[2])


def find_uv(context: BuildContext) -> tuple[Path, str]:
    """Return uv and its version. Raises `MissingTool`."""
    found = _which("uv", context.env)
    result = context.run([str(found), "--version"], echo=False, quiet=True)
    words = result.output.split()
    if result.status != 0 or len(words) < 2:
        raise MissingTool(tool="uv", looked_in=f"{found}, which does not run: {result.output.strip()[-200:]}")
    return found, words[1]


def find_pip_wheel(env: Mapping[str, str]) -> PipWheel:
    """Return the newest wheel of pip that the builder carries; `PYBUILD_WHEELS` names another directory. Raises `MissingTool`."""
    directory = Path(env.get("PYBUILD_WHEELS") or _DEFAULT_WHEELS)
    found = []
    for path in directory.glob("pip-*.whl"):
        try:
            found.append((parse_wheel_filename(path.name)[1], path))
        except InvalidWheelFilename:
            continue
    if not found:
        raise MissingTool(tool="pip-*.whl", looked_in=str(directory))
    version, path = max(found)
    return PipWheel(path=path, version=str(version))


def _which(program: str, env: Mapping[str, str]) -> Path:
    path = env.get("PATH", "")
    found = shutil.which(program, path=path)
    if found is None:
        raise MissingTool(tool=program, looked_in=path or "an empty PATH")
    return Path(found)
