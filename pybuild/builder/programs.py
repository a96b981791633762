"""The programs of the lifecycle as a builder image has them: one file with everything in it, which each program is a name of.

It is an archive that Python runs (https://docs.python.org/3/library/zipapp.html), with extension modules for the Python and the
architecture of the build base (`lifecycle.extension_modules`). Those are downloaded in the versions that this pybuild has, so that
images are the same to the byte whoever makes them.

Store: `natives/<key>/packages`.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from lifecycle.__main__ import PROGRAMS
from pybuild.builder import inside
from pybuild.builder.buildpack_files import LIFECYCLE_LIBRARIES, PYTHON_SHEBANG, copy_package, package_directory
from pybuild.builder.crew import Crew
from pybuild.builder.kept import content_key, make_directory
from pybuild.builder.wheels import base_python_version, clean_packages, install_wheels

# Another number when the same versions would become another directory.
_FORMAT = 1
# The file that the others are links to.
FILE = "lifecycle"
# What talks to registries and engines, with what that needs.
_LIBRARIES = (*LIFECYCLE_LIBRARIES, "docker", "requests", "urllib3", "idna", "charset_normalizer")
_EXTENSIONS = ("isal", "zstandard")
# For cffi, which is another way to the same.
_UNWANTED = ("_cffi.", "backend_cffi.")
DISTRIBUTIONS = ("packaging", "docker", "requests", "urllib3", "idna", "charset-normalizer", *_EXTENSIONS)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_MAIN = """\
from lifecycle.extension_modules import import_from_archive

import_from_archive(__loader__)

from lifecycle.__main__ import main

main()
"""


def natives_directory(base_identity: str, store: Path) -> Path:
    """Where the store has the extension modules for the Python of a build base, made or not."""
    return store / "natives" / content_key(_FORMAT, _requirements(), base_identity)


def are_natives_made(directory: Path) -> bool:
    """Whether the store has them in `directory`."""
    return (directory / "packages").is_dir()


def make_natives(rootfs: Path, directory: Path, crew: Crew) -> None:
    """Put the extension modules for the Python of the build base `rootfs` into the store at `directory`.

    Raises:
        ToolUnavailable: the package index of this machine has not all of them, or cannot be reached.
        PackagingFailed: the base has no Python that answers.
    """

    def make(making: Path) -> None:
        packages = making / "packages"
        packages.mkdir()
        install_wheels(
            _requirements(), base_python_version(rootfs, crew), packages, crew, title="what images are written with"
        )
        clean_packages(packages)

    make_directory(directory, make)


def stage_lifecycle(library: Path, natives: Path | None = None) -> None:
    """Write what the programs of the lifecycle import into `library`, which must not exist.

    Extension modules come from `natives`, what `make_natives` has made; where that is not said, they are those of this Python.
    """
    for name in _LIBRARIES:
        copy_package(name, library)
    copy_package("lifecycle", library)
    # As Debian's package of that name has it: the machine says whom it trusts.
    shutil.copyfile(Path(inside.__file__).with_name("certifi.py"), library / "certifi.py")
    for name in _EXTENSIONS:
        _copy_extension(package_directory(name) if natives is None else natives / name, library / name)
    (library / "__main__.py").write_text(_MAIN, encoding="utf-8")


def write_programs(library: Path, directory: Path) -> None:
    """Write the programs into `directory`: all that `stage_lifecycle` has put into `library`, by now compiled."""
    program = directory / FILE
    with program.open("wb") as stream:
        stream.write(PYTHON_SHEBANG.encode())
        with zipfile.ZipFile(stream, "w") as archive:
            for path, name in sorted(_zip_members(library), key=lambda member: member[1]):
                entry = zipfile.ZipInfo(name, _ZIP_TIME)
                entry.external_attr = 0o644 << 16
                # A program starts faster where modules are not compressed; what is large is hardly ever loaded.
                entry.compress_type = zipfile.ZIP_DEFLATED if path.suffix == ".so" else zipfile.ZIP_STORED
                archive.writestr(entry, path.read_bytes())
    program.chmod(0o755)
    for name in PROGRAMS:
        (directory / name).symlink_to(FILE)


def _requirements() -> Sequence[str]:
    return [f"{name}=={importlib.metadata.version(name)}" for name in _EXTENSIONS]


def _copy_extension(source: Path, target: Path) -> None:
    """Copy Python modules and extension modules; those are called `<module>.so`, whatever Python they are for."""
    target.mkdir()
    for path in source.iterdir():
        if path.name.startswith(_UNWANTED):
            continue
        if path.suffix == ".py":
            shutil.copyfile(path, target / path.name)
        elif path.name.endswith((*EXTENSION_SUFFIXES, ".so")):
            shutil.copyfile(path, target / f"{path.name.partition('.')[0]}.so")


def _zip_members(library: Path) -> Iterator[tuple[Path, str]]:
    """Files and their names: bytecode beside its source, where imports from archives look for it."""
    for path in library.rglob("*"):
        relative = path.relative_to(library)
        if path.suffix in (".py", ".sh", ".so"):
            # Of libraries, the bytecode is enough: fewer names are read at each start.
            if path.suffix != ".py" or relative.parts[0] in ("lifecycle", "__main__.py") or not _bytecode(path):
                yield path, relative.as_posix()
        elif path.suffix == ".pyc":
            module = path.name.split(".")[0]
            yield path, (relative.parent.parent / f"{module}.pyc").as_posix()


def _bytecode(source: Path) -> bool:
    return any((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"))
