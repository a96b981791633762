"""Copies buildpacks to where a build image has them, whole: one that is written with the kit gets the kit beside it.

Such a buildpack is a directory with `buildpack.toml`, `detect.py` and `build.py`, without programs of its own: what a lifecycle starts
is written here, and imports the functions of the same names. pybuild's own buildpacks are packages, and become one of their library.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

from lifecycle.cnb.buildpack import Descriptor
from pybuild.builder.errors import PackagingFailed

# -I: nothing of the user's environment changes what is imported; -B: nothing is written beside the sources.
PYTHON_SHEBANG = "#!/usr/bin/python3 -IB\n"
# What lifecycle and buildpacks import beside the standard library, and what buildpacks do.
LIFECYCLE_LIBRARIES = ("packaging",)
_BUILDPACK_LIBRARIES = (*LIFECYCLE_LIBRARIES, "yaml")
# What several of pybuild's own buildpacks share: a package beside theirs, without a buildpack.toml.
_SHARED_PACKAGE = "installer"
# Extension modules of the Python that runs pybuild are not for that of the build image, unless they keep to the stable ABI.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.cpython-*.so")
_PHASES = ("detect", "build")
_PROGRAMS = (*_PHASES, "generate")
_PROGRAM = '''\
"""Starts `{phase}` of `{phase}.py`, with what is in `lib`."""

import sys
from pathlib import Path

_BUILDPACK = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_BUILDPACK), str(_BUILDPACK / "lib")]

from {phase} import {phase}
from lifecycle.cnb.kit import run_{phase}

sys.exit(run_{phase}({phase}))
'''


def copy_buildpack(buildpack: Descriptor, target: Path) -> None:
    """Write everything that a lifecycle needs of a buildpack to `target`, which must not exist.

    Raises:
        PackagingFailed: a library that it needs is not installed beside pybuild.
    """
    if _is_package(buildpack):
        _copy_package_buildpack(buildpack, target)
    elif uses_kit(buildpack.directory):
        shutil.copytree(buildpack.directory, target, symlinks=True, ignore=_LEFT_OUT)
        _add_kit(target / "lib")
        (target / "bin").mkdir(exist_ok=True)
        for phase in _PHASES:
            program = target / "bin" / phase
            program.write_text(PYTHON_SHEBANG + _PROGRAM.format(phase=phase), encoding="utf-8")
            program.chmod(0o755)
    else:
        shutil.copytree(buildpack.directory, target, symlinks=True)
        for name in _PROGRAMS:
            path = target / "bin" / name
            if path.is_file() and not path.is_symlink():
                # As pack does: they may come from where files have no such bit.
                path.chmod(0o755)


def uses_kit(directory: Path) -> bool:
    """Whether the buildpack in `directory` has functions in the place of programs."""
    return all((directory / f"{phase}.py").is_file() and not (directory / "bin" / phase).exists() for phase in _PHASES)


def sources_of(buildpack: Descriptor) -> tuple[Path, ...]:
    """Directories that a buildpack's own code comes from."""
    shared = buildpack.directory.parent / _SHARED_PACKAGE
    return (buildpack.directory, shared) if _is_package(buildpack) and shared.is_dir() else (buildpack.directory,)


def copy_libraries(library: Path, names: Sequence[str]) -> None:
    """Copy importable packages of the Python that runs pybuild into `library`. Raises `PackagingFailed`."""
    for name in names:
        copy_package(name, library)


def copy_package(name: str, library: Path) -> None:
    """The same for one. Raises `PackagingFailed`."""
    shutil.copytree(package_directory(name), library / name, ignore=_LEFT_OUT)


def package_directory(name: str) -> Path:
    """Where a package is that the Python that runs pybuild can import. Raises `PackagingFailed`."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise PackagingFailed(f"the Python package `{name}` is not installed", advice=f"pip install {name}")
    return Path(spec.origin).parent


def _copy_package_buildpack(buildpack: Descriptor, target: Path) -> None:
    """Its modules become a package of the library that its programs find beside them."""
    source = buildpack.directory
    shutil.copytree(
        source, target, symlinks=True, ignore=lambda directory, names: [*_LEFT_OUT(directory, names), *_modules(names)]
    )
    for program in (target / "bin").iterdir():
        program.chmod(0o755)
    library = target / "lib"
    package = library / source.parent.name
    for path in sources_of(buildpack):
        shutil.copytree(
            path, package / path.name, ignore=lambda directory, names: _other_than_modules(Path(directory), names)
        )
    shutil.copyfile(source.parent / "__init__.py", package / "__init__.py")
    _add_kit(library)


def _add_kit(library: Path) -> None:
    copy_libraries(library, _BUILDPACK_LIBRARIES)
    (library / "lifecycle").mkdir()
    shutil.copyfile(package_directory("lifecycle") / "__init__.py", library / "lifecycle" / "__init__.py")
    shutil.copytree(package_directory("lifecycle") / "cnb", library / "lifecycle" / "cnb", ignore=_LEFT_OUT)


def _is_package(buildpack: Descriptor) -> bool:
    directory = buildpack.directory
    return (directory / "__init__.py").is_file() and (directory.parent / "__init__.py").is_file()


def _modules(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.endswith(".py")]


def _other_than_modules(directory: Path, names: Sequence[str]) -> set[str]:
    return {
        name
        for name in names
        if not (name.endswith(".py") or ((directory / name).is_dir() and (directory / name / "__init__.py").is_file()))
    }
