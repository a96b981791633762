"""A conda channel of the test's own: real packages, indexed by rattler, served over HTTP on 127.0.0.1.

The packages are made once for the machine, in a cache directory named after what they are made from; a channel that they stand
in is only read.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rattler.index import index_fs

from lifecycle.cnb.layer import remove_tree
from pybuild.builder import default_definition_path, ensure_builder, read_definition
from pybuild.builder.installed import InstalledPython
from pybuild.builder.kept import make_directory, mark_used
from pybuild.events import EventLog
from pybuild.terminal import Verbosity, open_terminal
from tests.integration import conda_contents, conda_packages, conda_python
from tests.integration.conda_contents import defaults_packages, old_format_packages, text_packages
from tests.integration.conda_packages import CondaPackage, write_package
from tests.integration.conda_python import Workbench, find_python, library_packages, python_packages

PYTHON_VERSIONS = ("3.9", "3.10", "3.11")
"""Minor versions that the channel has a `python` of, where this machine has or can fetch such an interpreter."""
CONDA_FORGE, DEFAULTS, SMUGGLED = "conda-forge", "pkgs/main", "smuggled/conda-forge"
"""Channels of `machine_channels`: the ordinary one; a copy of Anaconda's; one whose `base_url` leads to that copy."""
# Channels that no test has used for a week are those of older packages.
_KEPT_S = 7 * 24 * 3600
# The newest that Python 3.9 can run.
_PIP = "25.3"


def machine_channels(store: Path) -> Path:
    """Directory with the channels, made when they are not there; `store` is pybuild's, for the builder's compiler."""
    pythons = {minor: found for minor in PYTHON_VERSIONS if (found := find_python(minor, _scratch(minor)))}
    sources = [Path(module.__file__ or "").read_bytes() for module in (conda_contents, conda_packages, conda_python)]
    names = [[python.version, str(python.prefix)] for python in pythons.values()]
    key = hashlib.sha256(b"".join([*sources, Path(__file__).read_bytes(), json.dumps(names).encode()])).hexdigest()
    directory = _cache() / f"channels-{key[:16]}"
    with (_cache() / "channels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            for old in _cache().glob("channels-*[!k]"):
                if time.time() - old.stat().st_mtime > _KEPT_S:
                    remove_tree(old)
            make_directory(directory, lambda made: _make_channels(made, store, list(pythons.values())))
        mark_used(directory)
    return directory


def make_channel(directory: Path, packages: Sequence[CondaPackage], *, ending: str = ".conda") -> Path:
    """A channel of `packages` in `directory`, or that channel with those packages more; returns `directory`."""
    for package in packages:
        write_package(directory, package, ending=ending)
    index_channel(directory)
    return directory


def index_channel(directory: Path, *, compressed: bool = True) -> None:
    """Write the repodata of what lies in a channel's directories; `compressed`: in all its forms."""
    (directory / "noarch").mkdir(parents=True, exist_ok=True)
    (directory / "linux-64").mkdir(exist_ok=True)
    asyncio.run(index_fs(directory, write_zst=compressed, write_shards=compressed, force=True))


def has_python(channel: Path, minor: str) -> bool:
    """Whether a channel has a `python` of that minor version."""
    return any((channel / "linux-64").glob(f"python-{minor}.*"))


def _make_channels(directory: Path, store: Path, pythons: Sequence[InstalledPython]) -> None:
    log = EventLog(open_terminal(Verbosity.NORMAL, os.environ).show)
    builder = ensure_builder(read_definition(default_definition_path()), store, log)
    work = directory / "work"
    work.mkdir()
    bench = Workbench(rootfs=builder.rootfs, directory=work)
    packages = [*library_packages(bench), *(made for python in pythons for made in python_packages(python, bench))]
    packages += text_packages(_pip_wheel(work))
    for package in old_format_packages():
        write_package(directory / CONDA_FORGE, package, ending=".tar.bz2")
    make_channel(directory / CONDA_FORGE, packages)
    make_channel(directory / DEFAULTS, defaults_packages())
    _make_smuggled(directory)
    remove_tree(work)


def _make_smuggled(directory: Path) -> None:
    """A channel that only has repodata, which says to fetch from the copy of `pkgs/main`."""
    for subdir in ("noarch", "linux-64"):
        source = json.loads((directory / DEFAULTS / subdir / "repodata.json").read_text())
        source["info"]["base_url"] = f"../../../{DEFAULTS}/{subdir}/"
        target = directory / SMUGGLED / subdir
        target.mkdir(parents=True)
        (target / "repodata.json").write_text(json.dumps(source))


def _pip_wheel(directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(directory), f"pip=={_PIP}"], check=True)
    return directory / f"pip-{_PIP}-py3-none-any.whl"


def _cache() -> Path:
    directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pybuild-tests"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _scratch(minor: str) -> Path:
    directory = _cache() / "interpreters" / minor
    directory.mkdir(parents=True, exist_ok=True)
    return directory
