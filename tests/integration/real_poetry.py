"""Poetry as its own users run it, outside of pybuild, and what it installs: the other side of a comparison.

It is installed once for the machine, from the machine's package index, into an environment of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from pybuild.builder.kept import make_directory
from pybuild.host import read_host_settings

POETRY_VERSION = "1.8.3"
"""The version that builders have."""
# An index that has no JSON form of its pages stops Poetry 1.8 (`Expecting value: line 1 column 1`); the plugin reads HTML.
MIRROR_PLUGIN = "poetry-plugin-pypi-mirror==0.4.2"
_PACKAGES = (f"poetry=={POETRY_VERSION}", MIRROR_PLUGIN)
_MIRROR_VARIABLE = "POETRY_PYPI_MIRROR_URL"
_PYPI = "https://pypi.org/simple/"

# Prints what is installed. `distributions` finds a package twice where two directories of the path have it.
LIST_PROGRAM = """
import importlib.metadata, json, re
found = set()
for entry in importlib.metadata.distributions():
    origin = json.loads(entry.read_text("direct_url.json") or "{}")
    name = re.sub(r"[-_.]+", "-", entry.metadata["Name"]).lower()
    commit = origin.get("vcs_info", {}).get("commit_id", "")
    editable = bool(origin.get("dir_info", {}).get("editable"))
    found.add((name, entry.version, commit, editable))
print(json.dumps(sorted(found)))
"""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Distribution:
    """A distribution of an environment."""

    name: str
    """Normalized (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
    version: str
    commit: str = ""
    """Of git, for what was installed from there."""
    is_editable: bool = False


def parse_distributions(printed: str) -> set[Distribution]:
    """What `LIST_PROGRAM` printed."""
    return {
        Distribution(name=name, version=version, commit=commit, is_editable=is_editable)
        for name, version, commit, is_editable in json.loads(printed)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RealPoetry:
    """The command, with a cache, a configuration and environments of its own."""

    program: Path
    directory: Path
    env: Mapping[str, str]

    def __call__(self, project: Path, *arguments: str, environment: Path) -> str:
        """What Poetry printed, run in `project` for the virtual environment `environment`; it must succeed."""
        # In an environment that is active Poetry installs into that one.
        env = {**self.env, "VIRTUAL_ENV": str(environment), "PATH": f"{environment / 'bin'}:{self.env['PATH']}"}
        command = [str(self.program), *arguments, "--no-interaction"]
        result = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
        said = f"{result.stdout}\n{result.stderr}"
        assert result.returncode == 0, f"poetry {' '.join(arguments)} ended with {result.returncode}:\n{said}"
        return said

    @property
    def index_settings(self) -> dict[str, str]:
        """What tells Poetry of the index that stands for PyPI."""
        return {_MIRROR_VARIABLE: self.env[_MIRROR_VARIABLE]}

    def lock(self, project: Path, python: Path) -> None:
        """Write poetry.lock of a project."""
        self(project, "lock", environment=self.new_environment(python))

    def install(self, project: Path, python: Path, *options: str) -> set[Distribution]:
        """What `poetry install` puts into an empty environment of `python`; the project is left as it is."""
        copy = self.directory / "workspace"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(project, copy)
        environment = self.new_environment(python)
        self(copy, "install", *options, environment=environment)
        printed = _run([str(environment / "bin" / "python"), "-I", "-c", LIST_PROGRAM], self.env)
        return parse_distributions(printed)

    def new_environment(self, python: Path) -> Path:
        """An empty virtual environment."""
        environment = self.directory / "environment"
        _run([uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", str(python), str(environment)], self.env)
        return environment


def real_poetry(directory: Path, env: Mapping[str, str]) -> RealPoetry:
    """Poetry with everything of its own in `directory`; `env` says which index stands for PyPI."""
    settings = read_host_settings(env, Path.home())
    own = {
        "POETRY_CONFIG_DIR": str(directory / "config"),
        "POETRY_DATA_DIR": str(directory / "data"),
        "POETRY_CACHE_DIR": str(directory / "cache"),
        # What a desktop keeps of passwords is no part of a test.
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        _MIRROR_VARIABLE: settings.indexes.get("PIP_INDEX_URL", _PYPI),
    }
    if settings.ca_bundle is not None:
        own |= {"SSL_CERT_FILE": str(settings.ca_bundle), "REQUESTS_CA_BUNDLE": str(settings.ca_bundle)}
    kept = {name: value for name, value in env.items() if not name.startswith("POETRY_")}
    return RealPoetry(program=_installed_program(), directory=directory, env={**kept, **own})


def builder_python(store: Path, version: str, directory: Path) -> Path:
    """The builder's interpreter of an exact version, unpacked below `directory`."""
    python = directory / f"cpython-{version}" / "bin" / f"python{version.rpartition('.')[0]}"
    if not python.exists():
        archives = store.glob(f"interpreters/*/cpython-{version}-*.tar.gz")
        archive = max(archives, key=lambda path: path.stat().st_mtime)
        python.parents[1].mkdir(parents=True)
        _run(["tar", "--extract", "--file", str(archive), "--directory", str(python.parents[1])], os.environ)
    return python


def _installed_program() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pybuild-tests"
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(json.dumps([*_PACKAGES, sys.executable]).encode()).hexdigest()[:16]
    directory = cache / f"poetry-{key}"
    with (cache / "poetry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            make_directory(directory, _install_poetry)
    return directory / "bin" / "poetry"


def _install_poetry(directory: Path) -> None:
    # It is made elsewhere and moved to its place.
    venv = [uv.find_uv_bin(), "venv", "--quiet", "--relocatable", "--allow-existing"]
    _run([*venv, "--python", sys.executable, str(directory)], os.environ)
    python = str(directory / "bin" / "python")
    _run([uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, *_PACKAGES], os.environ)


def _run(command: list[str], env: Mapping[str, str]) -> str:
    result = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr}"
    return result.stdout
