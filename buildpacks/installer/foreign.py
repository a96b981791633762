"""Environments for an image of another architecture: made here, of files that run there.

This machine's interpreter of the same minor version does all the work: uv chooses the wheels for the other platform, packages are
compiled to bytecode, which is the same on every architecture, and at the end the environment is turned to the interpreter that
the image has. What would have to be built for the other architecture is refused; what the repository names by a path or URL may
be built where it gives the same files on every machine, which uv finds out by the tags of the wheel.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.utils import canonicalize_name, parse_wheel_filename

from buildpacks.installer.errors import InstallationFailed, MissingTool
from buildpacks.installer.glibc import find_glibc, has_glibc
from buildpacks.installer.projects import Files
from buildpacks.installer.reader import RequirementLine, RequirementSet
from buildpacks.installer.requirement import Requirement
from lifecycle.cnb.kit import BuildContext, Target
from lifecycle.cnb.toml import read_table, read_toml, write_atomically

# What the python buildpack tells of the interpreter that the image has.
_PYTHON_VARIABLE = "PYBUILD_TARGET_PYTHON"
_VERSION_VARIABLE = "PYBUILD_TARGET_PYTHON_VERSION"
# Architecture of OCI -> the machine's own name
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# The versions of glibc that `--python-platform` of uv knows.
_MANYLINUX = ((2, 17), (2, 28), *((2, minor) for minor in range(31, 41)))
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What an environment is for that this machine cannot run."""

    platform: str
    """`linux/arm64`."""
    machine: str
    """`aarch64`."""
    glibc: tuple[int, int]
    """Its version, as far as uv knows it."""
    executable: Path
    """The interpreter, where the image has it."""
    version: str
    """Its exact version."""

    @property
    def wheels(self) -> str:
        """The platform as uv names it: `aarch64-manylinux_2_36`."""
        return f"{self.machine}-manylinux_{self.glibc[0]}_{self.glibc[1]}"


def find_foreign(context: BuildContext) -> Foreign:
    """Return what the image is for, in a build for another architecture, with the interpreter that the python buildpack gives it.

    Raises `InstallationFailed` and `MissingTool`.
    """
    executable, version = context.env.get(_PYTHON_VARIABLE), context.env.get(_VERSION_VARIABLE)
    if not executable or not version:
        raise MissingTool(tool=f"Python for {context.target.platform}", looked_in=f"`{_PYTHON_VARIABLE}`")
    return make_foreign(context.target, executable=Path(executable), version=version)


def make_foreign(target: Target, *, executable: Path, version: str) -> Foreign:
    """Return what `target` is, with its interpreter. Raises `InstallationFailed` where it has no wheels."""
    machine = _MACHINES.get(target.arch or "")
    if machine is None or not has_glibc(target):
        raise InstallationFailed(
            problem=f"an environment for {target} cannot be made on this machine",
            details=(("possible", "linux/amd64 and linux/arm64, with glibc"),),
            change="build it on a machine of that architecture",
        )
    found = tuple(int(part) for part in find_glibc(target).split(".")[:2])
    return Foreign(
        platform=target.platform,
        machine=machine,
        glibc=max((known for known in _MANYLINUX if known <= found), default=_MANYLINUX[0]),
        executable=executable,
        version=version,
    )


def abi_of(abi: str, machine: str) -> str:
    """Return the ABI of an interpreter of this machine as it is on `machine`: `cpython-310-aarch64-linux-gnu`."""
    return abi.replace(platform.machine(), machine)


def uv_options(foreign: Foreign, found: RequirementSet) -> list[str]:
    """Return what `uv pip compile` and `uv pip install` are told of the platform and of what may be built."""
    options = [f"--python-platform={foreign.wheels}", f"--python-version={foreign.version}", "--only-binary=:all:"]
    # uv: a package that is named is an exception to all.
    names = (line.requirement.name for line in found.requirements if is_source(line))
    return [*options, *(f"--no-binary={name}" for name in dict.fromkeys(names) if name is not None)]


def is_source(line: RequirementLine) -> bool:
    """Return whether the repository names a project or archive by a path or URL that has to be built."""
    requirement = line.requirement
    if requirement.kind == "index":
        return False
    location = requirement.url or (requirement.path.name if requirement.path else "")
    return not location.lower().endswith(".whl")


def check_wheels(found: RequirementSet, foreign: Foreign) -> None:
    """Raise `InstallationFailed` for a wheel that the repository names itself and that is for other machines.

    uv looks at the tags of a wheel only where it has not read it before.
    """
    for line in found.requirements:
        requirement = line.requirement
        location = requirement.path.as_posix() if requirement.path else requirement.url or ""
        wheel = unquote(location.rpartition("/")[2])
        if not wheel.lower().endswith(".whl") or _fits(wheel, foreign) or not _is_wanted(requirement, foreign):
            continue
        raise InstallationFailed(
            problem=f"{line.origin}: `{wheel}` is not for {foreign.platform}, which the image is for",
            details=(),
            change=f'name one wheel for each machine, with a marker: `; platform_machine == "{foreign.machine}"`; '
            f"or build the image on a {foreign.platform} machine",
        )


def _fits(wheel: str, foreign: Foreign) -> bool:
    """Whether one of the platforms of a wheel is that of the image (https://peps.python.org/pep-0600/)."""
    for tag in parse_wheel_filename(wheel)[3]:
        manylinux = re.fullmatch(rf"manylinux_(\d+)_(\d+)_{foreign.machine}", tag.platform)
        if manylinux is not None:
            if (int(manylinux[1]), int(manylinux[2])) <= foreign.glibc:
                return True
        elif tag.platform == "any" or re.fullmatch(rf"(?:linux|manylinux\d+)_{foreign.machine}", tag.platform):
            return True
    return False


def _is_wanted(requirement: Requirement, foreign: Foreign) -> bool:
    """Whether the marker of a path or URL holds in the image."""
    marker = requirement.text.partition(" ; ")[2]
    environment = {
        "platform_machine": foreign.machine,
        "python_version": ".".join(foreign.version.split(".")[:2]),
        "python_full_version": foreign.version,
    }
    return not marker or Marker(marker).evaluate(environment)


def with_names(found: RequirementSet, read_name: Callable[[RequirementLine], str]) -> RequirementSet:
    """Return the requirements with the names of the projects that only building them tells, which `read_name` does."""

    def named(line: RequirementLine) -> RequirementLine:
        if line.requirement.name is not None or line.is_editable or not is_source(line):
            return line
        name = _static_name(line.requirement.path) or read_name(line)
        return replace(line, requirement=_with_name(line.requirement, name))

    return replace(found, requirements=tuple(named(line) for line in found.requirements))


def _static_name(project: Path | None) -> str | None:
    """The name in `[project]`, which is never computed (PEP 621)."""
    file = None if project is None else project / "pyproject.toml"
    table = read_toml(file).get("project") if file is not None and file.is_file() else None
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) else None


def _with_name(requirement: Requirement, name: str) -> Requirement:
    text = requirement.text
    if requirement.path is not None:
        marker = text.partition(" ; ")[2]
        extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
        text = f"{extras} @ {requirement.path.as_uri()}" + (f" ; {marker}" if marker else "")
    else:
        text = f" @ {text}"
    return replace(requirement, text=f"{name}{text}", name=canonicalize_name(name))


def read_name(lock: Path) -> str:
    """Return the name of the only package in a `pylock.toml` (PEP 751)."""
    return read_table(lock).tables("packages")[0].string("name")


def check_written(before: Files, after: Files, foreign: Foreign, *, app_dir: Path) -> None:
    """Raise `InstallationFailed` where building the projects has left programs or libraries in the app directory: they are
    this machine's.
    """
    for path in sorted({path for path, _ in after - before}):
        if is_machine_code(Path(path)):
            shown = Path(path).relative_to(app_dir.resolve())
            raise InstallationFailed(
                problem=f"`{shown}` was built for this machine, and the image is for {foreign.platform}",
                details=(),
                change=f"build the image on a {foreign.platform} machine: here projects of pure Python can be installed",
            )


def is_machine_code(path: Path) -> bool:
    """Return whether the file is an ELF program, library or object."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_ELF)) == _ELF


def turn_to_image(venv: Path, foreign: Foreign) -> None:
    """Make the virtual environment one of the image's interpreter; nothing can be run in it from here on."""
    link = venv / "bin" / "python"
    directory = foreign.executable.parent
    # uv names the interpreter with its version: `python3.10`.
    target = directory / link.readlink().name
    link.unlink()
    link.symlink_to(target)
    config = venv / "pyvenv.cfg"
    text = re.sub(r"(?m)^home = .*$", f"home = {directory}", config.read_text(encoding="utf-8"))
    text = re.sub(r"(?m)^version_info = .*$", f"version_info = {foreign.version}", text)
    write_atomically(config, text.encode())
