"""Poetry in the builder: its packages in a directory of their own, the same in every builder, and the program that starts it.

It becomes `/opt/pybuild/poetry/<version>` and `/opt/pybuild/bin/poetry-<version>`, never a part of an application's environment.
The packages are those of `poetry-<version>.txt`, hashes and all; uv installs them for the Python of the build base.

Store: `poetry/<key>/`, with `packages/`, compiled, and `poetry.json`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from pybuild.builder import inside
from pybuild.builder.crew import Crew
from pybuild.builder.errors import PackagingFailed, ToolUnavailable
from pybuild.builder.kept import content_key, link_tree, make_directory
from pybuild.builder.tools import find_uv
from pybuild.engines.sandbox import Mount, Sandbox, bubblewrap_command
from pybuild.host import read_uv_environment

# Another number when the same requirements would become another directory.
_FORMAT = 1
_OPT = PurePosixPath("/opt/pybuild")
_SCRIPTS = PurePosixPath("/platform")
_VERSION = re.compile(r"poetry-(\d+(?:\.\d+)*)\.txt")
# The oldest C library whose wheels are taken, whatever the machine that makes the builder has: that of Debian 10.
_PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
# Installers write these for those who uninstall; they name paths of the machine.
_INSTALLERS_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_TRUE = ("1", "true", "yes", "on")
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
        _install(version, _python_version(rootfs, crew), packages, crew)
        _clean(packages)
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
    options = ["--target", str(packages), "--python", sys.executable, "--python-version", python_version]
    platform = _PLATFORMS.get(host_architecture())
    options += ["--python-platform", platform] if platform else []
    options += ["--only-binary", ":all:", "--no-deps"]
    # Hashes say which file it must be, so any index may bring it.
    options += ["--require-hashes", "--index-strategy", "unsafe-best-match", "--link-mode", "copy", "--no-progress"]
    env = read_uv_environment(os.environ, Path.home())
    # For this setting uv has an option and no variable.
    options += ["--no-index"] if env.get("UV_NO_INDEX", "").lower() in _TRUE else []
    command = [str(find_uv()), "pip", "install", *options, "--requirements", str(_requirements(version))]
    # Elsewhere than here, where a uv.toml of a project may lie.
    result = crew.run(command, env=env, cwd=packages)
    if result.status != 0:
        lines = [line.strip() for line in result.output.splitlines() if line.strip()][-4:]
        raise ToolUnavailable(
            f"Poetry {version} cannot be downloaded",
            tuple(("uv", line) for line in lines),
            "the package index of this machine (pip.conf, uv.toml, `PIP_INDEX_URL`, `UV_DEFAULT_INDEX`) must be reachable and "
            "have the files of PyPI that Poetry needs; without `poetry` in `[pybuild.tools]` of builder.toml, there is no Poetry",
        )


def _clean(packages: Path) -> None:
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


def _python_version(rootfs: Path, crew: Crew) -> str:
    question = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    return _run_inside(rootfs, (), ["/usr/bin/python3", "-I", "-c", question], crew).strip()


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
    _run_inside(rootfs, mounts, ["/usr/bin/python3", "-s", f"{_SCRIPTS}/compile_bytecode.py", str(place)], crew)
    said = _run_inside(rootfs, mounts, [str(_OPT / program.name), "--version", "--no-ansi"], crew)
    if version not in said:
        raise PackagingFailed(f"Poetry {version} says in the build base that it is `{said.strip()}`")
    remove_tree(stage)


def _run_inside(rootfs: Path, mounts: tuple[Mount, ...], argv: list[str], crew: Crew) -> str:
    """What `argv` says in the build base. Raises `PackagingFailed`."""
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
        raise PackagingFailed("Poetry does not work with the Python of the build base", details)
    return result.output
