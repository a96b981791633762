"""Repositories of Poetry for builds, and what is in the images of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from lifecycle.cnb.layer import remove_tree
from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, Pybuild
from tests.integration.image_files import LayoutImage, iterate_files
from tests.integration.real_poetry import LIST_PROGRAM, Distribution, RealPoetry, builder_python, parse_distributions
from tests.integration.workplace import clone_of

VENV = "/layers/pybuild_poetry/venv"
"""Where the environment is in every image."""
# The port that stands in fixtures whose server is the test's own.
_PLACE = "127.0.0.1:1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image, and what building it left. A test that changes the repository says so by a further build."""

    builds: Builds
    repository: Path
    log: str
    """Standard error of the first build."""

    @property
    def report(self) -> Mapping[str, Any]:
        """The report of the last build."""
        return json.loads((self.builds.directory / "report.json").read_text())  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryImages:
    """Images of fixtures in one store, each built once from a clone."""

    pybuild: Pybuild
    directory: Path

    def built(self, fixture: str, settings: Mapping[str, str] | None = None) -> Built:
        """The image of a fixture with these settings."""
        key = hashlib.sha256(repr(sorted((settings or {}).items())).encode()).hexdigest()[:8]
        directory = self.directory / f"{fixture}-{key}"
        log = directory / "log"
        builds = Builds(pybuild=self.pybuild, directory=directory, settings=settings or {})
        if not log.exists():
            remove_tree(directory)
            directory.mkdir()
            log.write_text(builds.build(clone_of(FIXTURES / fixture, directory / fixture))[0].stderr)
        return Built(builds=builds, repository=directory / fixture, log=log.read_text())


def copy_of(fixture: str, directory: Path, *, host: str | None = None) -> Path:
    """A copy of a fixture below `directory`, with `host` (and port) of a server where the fixture leaves a place for it."""
    repository = directory / fixture
    shutil.copytree(FIXTURES / fixture, repository)
    if host is not None:
        project = repository / "pyproject.toml"
        text = project.read_text()
        assert _PLACE in text
        project.write_text(text.replace(_PLACE, f"{host}/"))
    return repository


def distributions(builds: Builds) -> set[Distribution]:
    """What is installed in the image of the last build, without pip, which every image has."""
    found = parse_distributions(builds.run("python", "-I", "-c", LIST_PROGRAM))
    assert {entry.name for entry in found} >= {"pip"}
    return {entry for entry in found if entry.name != "pip"}


def names(builds: Builds) -> set[str]:
    """Names of what is installed, without pip."""
    return {entry.name for entry in distributions(builds)}


def poetry_distributions(
    poetry: RealPoetry, builds: Builds, repository: Path, store: Path, *options: str
) -> set[Distribution]:
    """What Poetry installs of `repository` for the very interpreter that the image of the last build has."""
    found = poetry.install(repository, image_python(builds, store, poetry.directory), *options)
    return {entry for entry in found if entry.name != "pip"}


def skip_without_python(store: Path, minor: str) -> None:
    """Skip the test when neither the machine nor a download could give the builder such an interpreter, or a newer one."""
    found = [path.name.split("-")[1] for path in store.glob("interpreters/*/cpython-*.tar.gz")]
    newest = max(Version(version).release for version in found)
    if newest < Version(minor).release:
        pytest.skip(f"the builder has no Python {minor}")


def image_python(builds: Builds, store: Path, directory: Path) -> Path:
    """The interpreter that the image of the last build has, from the builder and unpacked below `directory`."""
    version = builds.run("python", "-c", "import platform; print(platform.python_version())")
    return builder_python(store, version, directory / "interpreters")


def kept_lock(image: LayoutImage) -> str:
    """The only poetry.lock outside of /workspace in an image."""
    (found,) = [
        file.content.decode()
        for file in iterate_files(image)
        if file.name.endswith("/poetry.lock") and not file.name.startswith("workspace/")
    ]
    return found


def write_project(directory: Path, files: Mapping[str, str]) -> Path:
    """A repository of `files`; returns `directory`."""
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return directory
