"""Projects in a directory, for the tests of what is read of them."""

from __future__ import annotations

from pathlib import Path

from buildpacks.poetry.errors import InvalidProject, Problem
from buildpacks.poetry.project import PoetryProject
from buildpacks.poetry.reading import read_project
from buildpacks.poetry.settings import read_settings

HEAD = '[tool.poetry]\nname = "thesis"\nversion = "0.1.0"\ndescription = ""\nauthors = []\n'
NO_PACKAGE = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = "^3.10"\n'


def write(directory: Path, text: str | bytes, *others: str) -> None:
    """Write pyproject.toml, and `others` as empty files."""
    (directory / "pyproject.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for name in others:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()


def read(directory: Path, **env: str) -> PoetryProject:
    return read_project(directory, read_settings(env))


def problems_of(directory: Path, **env: str) -> tuple[Problem, ...]:
    """Everything that is wrong; nothing where the project can be read."""
    found: tuple[Problem, ...] = ()
    try:
        read(directory, **env)
    except InvalidProject as err:
        found = err.problems
    assert all(problem.message and problem.change and "\n" not in problem.message for problem in found)
    return found
