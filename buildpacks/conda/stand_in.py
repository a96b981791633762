"""Stands in for the Python of a prefix that is for another architecture: this machine's of the same minor version.

While it does, the prefix is a virtual environment of that interpreter (https://docs.python.org/3/library/venv.html): `bin/python` runs,
and what it installs and compiles is what the Python of the prefix would, with its paths. Then everything is put back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from buildpacks.installer.interpreters import (
    interpreters_directory,
    read_interpreters,
    unpack_interpreter,
    with_same_minor,
)
from lifecycle.cnb.kit import BuildContext, BuildpackError
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.target import host_architecture
from lifecycle.cnb.toml import write_atomically

_CONFIG = "pyvenv.cfg"
_ASIDE = ".python-of-the-image"
# Below the cache layer
_DIRECTORY = "python"


def python_version(prefix: Path) -> Version | None:
    """Return the version of Python that a prefix has, by conda's own records; `None` where it has none."""
    for record in sorted(prefix.glob("conda-meta/python-[0-9]*.json")):
        values = json.loads(record.read_bytes())
        if values.get("name") == "python":
            try:
                return Version(str(values.get("version")))
            except InvalidVersion:
                return None
    return None


@dataclass(eq=False, kw_only=True)
class NoStandIn(BuildpackError):
    """What pip would install into a prefix cannot be put there."""

    platform: str
    version: str | None
    """Minor; `None` where the environment has no Python."""

    @property
    def summary(self) -> str:
        """What is missing."""
        if self.version is None:
            return "the `pip:` section needs Python, and no package of the environment brings it"
        return f"the `pip:` section for {self.platform} needs Python {self.version} on this machine, which the builder has not"

    @property
    def hint(self) -> str | None:
        """How to get it, or do without."""
        if self.version is None:
            return "add `python` to the dependencies"
        return (
            "ask for another `python`, add the minor version to `cpython` below `[pybuild.interpreters]` in builder.toml, or take the "
            "packages from conda-forge"
        )


@contextmanager
def standing_in(context: BuildContext, prefix: Path, *, cache_dir: Path) -> Iterator[bool]:
    """Let `bin/python` of the prefix run until the context ends; gives whether it does.

    It does not where the prefix has no Python, or the builder has none of that minor version for this machine. In a build for
    this machine's architecture nothing has to be done. `cache_dir` is the cache layer. Raises `BrokenInterpreter` and `DiskFull`.
    """
    python = prefix / "bin" / "python"
    if not context.target.is_foreign:
        yield python.exists()
        return
    version = python_version(prefix)
    here = read_interpreters(interpreters_directory(context.env), host_architecture())
    interpreter = None if version is None else with_same_minor(version, here)
    if interpreter is None:
        yield False
        return
    # Always at one place: uv remembers what it found out about `bin/python`.
    directory = cache_dir / _DIRECTORY
    aside = python.with_name(_ASIDE)
    remove_tree(directory)
    directory.mkdir(parents=True)
    try:
        unpack_interpreter(context, interpreter, directory)
        python.rename(aside)
        python.symlink_to(directory / "bin" / "python3")
        home = f"home = {directory / 'bin'}\nversion = {interpreter.version}\n"
        write_atomically(prefix / _CONFIG, home.encode())
        yield True
    finally:
        (prefix / _CONFIG).unlink(missing_ok=True)
        if os.path.lexists(aside):
            aside.replace(python)
        remove_tree(directory)


def image_python(context: BuildContext, prefix: Path, *, is_running: bool) -> str | None:
    """Return the version of the prefix's Python where another one stands in for it, for what pip installs; else `None`.

    Raises `NoStandIn`.
    """
    if not context.target.is_foreign:
        return None
    version = python_version(prefix)
    if version is None or not is_running:
        raise NoStandIn(
            platform=context.target.platform, version=None if version is None else f"{version.major}.{version.minor}"
        )
    return str(version)
