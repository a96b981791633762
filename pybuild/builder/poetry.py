"""Poetry in the builder: its packages in a directory of their own, the same in every builder, and the program that starts it.

It becomes `/opt/pybuild/poetry/<version>` and `/opt/pybuild/bin/poetry-<version>`, never a part of an application's environment.
The packages are those of `poetry-<version>.txt`, hashes and all; uv installs them for the Python of the build base.

Store: `poetry/<key>/`, with `packages/`, compiled, and `poetry.json`.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from lifecycle.cnb.layer import remove_tree
from pybuild.builder import inside
from pybuild.builder.crew import Crew
from pybuild.builder.errors import PackagingFailed
from pybuild.builder.kept import content_key, link_tree, make_directory
from pybuild.builder.wheels import base_python_version, clean_packages, install_wheels, run_inside
from pybuild.engines.sandbox import Mount

# Another number when the same requirements would become another directory.
_FORMAT = 1
_OPT = PurePosixPath("/opt/pybuild")
_SCRIPTS = PurePosixPath("/platform")
_VERSION = re.compile(r"poetry-(\d+(?:\.\d+)*)\.txt")
_PROGRAM = """\
#!/usr/bin/python3 -IB
\"\"\"Starts Poetry {version} from its own packages; `PYBUILD_POETRY` names another directory of them.\"\"\"

import os
import sys

sys.path.insert(0, os.environ.get("PYBUILD_POETRY") or "{packages}")

from poetry.console.application import main

sys.exit(main())
"""


def known_poetry_versions() -> tuple[str, ...]:
    """Versions that a builder can have: those with a file of requirements."""
    names = (path.name for path in Path(__file__).parent.glob("poetry-*.txt"))
    return tuple(sorted(match[1] for match in map(_VERSION.fullmatch, names) if match))


def poetry_directory(version: str, base_identity: str, store: Path) -> Path:
    """Where the store has Poetry `version` for the Python of a build base, made or not."""
    return store / "poetry" / content_key(_FORMAT, _requirements(version).read_text(), base_identity)


def is_poetry_made(directory: Path) -> bool:
    """Whether the store has Poetry in `directory`."""
    return (directory / "packages").is_dir()


def make_poetry(version: str, rootfs: Path, directory: Path, crew: Crew) -> None:
    """Put Poetry `version` for the Python of the build base `rootfs` into the store at `directory`.

    Raises:
        ToolUnavailable: the package index of this machine has not all of it, or cannot be reached.
        PackagingFailed: it does not start in the build base.
    """

    def make(making: Path) -> None:
        packages = making / "packages"
        packages.mkdir()
        _install(version, base_python_version(rootfs, crew), packages, crew)
        clean_packages(packages)
        _compile_and_check(version, rootfs, packages, crew)

    make_directory(directory, make)


def put_poetry(version: str, directory: Path, opt: Path) -> None:
    """Put what the store has in `directory` into `opt`, which becomes `/opt/pybuild`, with a program that starts it."""
    (opt / "poetry").mkdir(exist_ok=True)
    link_tree(directory / "packages", opt / "poetry" / version)
    program = opt / "bin" / f"poetry-{version}"
    program.write_text(_PROGRAM.format(version=version, packages=_OPT / "poetry" / version), encoding="utf-8")
    program.chmod(0o755)


def _requirements(version: str) -> Path:
    return Path(__file__).with_name(f"poetry-{version}.txt")


def _install(version: str, python_version: str, packages: Path, crew: Crew) -> None:
    # Hashes say which file it must be, so any index may bring it.
    requirements = ["--require-hashes", "--requirements", str(_requirements(version))]
    advice = "; without `poetry` in `[pybuild.tools]` of builder.toml, there is no Poetry"
    install_wheels(requirements, python_version, packages, crew, title=f"Poetry {version}", advice=advice)


def _compile_and_check(version: str, rootfs: Path, packages: Path, crew: Crew) -> None:
    # The bytecode holds the path that the packages will have.
    place = _OPT / "poetry" / version
    stage = packages.with_name("stage")
    (stage / "poetry" / version).mkdir(parents=True)
    mounts = (
        Mount(source=stage, target=_OPT),
        Mount(source=packages, target=place, writable=True),
        Mount(source=Path(inside.__file__).parent, target=_SCRIPTS),
    )
    program = stage / "start"
    program.write_text(_PROGRAM.format(version=version, packages=place), encoding="utf-8")
    program.chmod(0o755)
    # Not -I: that ignores PYTHONHASHSEED.
    run_inside(rootfs, mounts, ["/usr/bin/python3", "-s", f"{_SCRIPTS}/compile_bytecode.py", str(place)], crew)
    said = run_inside(rootfs, mounts, [str(_OPT / program.name), "--version", "--no-ansi"], crew)
    if version not in said:
        raise PackagingFailed(f"Poetry {version} says in the build base that it is `{said.strip()}`")
    remove_tree(stage)
