"""Projects for Poetry 2: each key that 1.8.3 would pass over or refuse is named, and Poetry 2 may build them."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.poetry.errors import InvalidProject
from lifecycle.cnb.errors import render_error
from tests.buildpacks.poetry.projects import HEAD, problems_of, read, write
from tests.interpreter import ROOT

TWO = """\
[project]
name = "two"
version = "0.1.0"
description = ""
authors = [{ name = "Ada Lovelace" }]
requires-python = ">=3.10,<4.0"
dependencies = [
    "six (>=1.16,<2.0)",
    "requests[socks]>=2; python_version < '3.12'",
]

[project.optional-dependencies]
tables = ["tabulate"]

[project.scripts]
two = "two:main"

[tool.poetry]
requires-poetry = ">=2.1"

[tool.poetry.requires-plugins]
poetry-plugin-export = "*"

[dependency-groups]
test = ["pytest"]
"""


def test_every_key_that_only_poetry_2_reads_is_named(tmp_path: Path) -> None:
    write(tmp_path, TWO, "two.py")
    found = problems_of(tmp_path)
    assert {problem.kind for problem in found} == {"needs-newer-poetry"}
    assert [problem.origin.line for problem in found] == [2, 3, 4, 5, 6, 7, 19, 21]
    assert "six, requests" in found[5].message
    with pytest.raises(InvalidProject) as caught:
        read(tmp_path)
    assert caught.value.hint == "build with Poetry 2, which reads it: `BP_POETRY_VERSION=2.x`"


def test_with_poetry_2_they_are_read(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    project = read(tmp_path, BP_POETRY_VERSION="2.1.3")
    assert (project.name, project.version, project.package_mode) == ("two", "0.1.0", True)
    assert project.python is not None
    assert (project.python.alternatives, project.python.origin.line) == ((">=3.10,<4.0",), 6)
    assert (project.extras, project.scripts) == (("tables",), ("two",))
    assert [group.name for group in project.groups] == ["main", "test"]


def test_the_version_that_a_project_asks_for_is_held_against_the_one_that_is_chosen(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    (problem,) = problems_of(tmp_path, BP_POETRY_VERSION="2.0.1")
    assert (problem.origin.line, "BP_POETRY_VERSION" in problem.change) == (19, True)
    assert problems_of(tmp_path, BP_POETRY_VERSION="2.x") == ()


def test_a_project_that_says_everything_twice_is_for_both(tmp_path: Path) -> None:
    project = '[project]\nname = "thesis"\nrequires-python = ">=3.10"\ndependencies = ["Six>=1"]\n'
    scripts = '[project.scripts]\nthesis = "thesis:main"\n'
    own = f'{HEAD}[tool.poetry.dependencies]\npython = "^3.11"\nsix = "^1"\n'
    write(tmp_path, project + scripts + own, "thesis.py")
    found = read(tmp_path)
    assert found.python is not None
    assert found.python.text == "^3.11"
    # Nothing that is installed is missing, but a command is.
    (notice,) = found.notices
    assert notice.startswith("pyproject.toml:5: ")
    assert "`project.scripts` (thesis)" in notice


def test_the_fixture_for_poetry_2_says_what_to_do() -> None:
    with pytest.raises(InvalidProject) as caught:
        read(ROOT / "fixtures" / "poetry_two")
    assert render_error(caught.value) == (
        "error: 2 problems in `pyproject.toml`\n"
        "  pyproject.toml:5:  the range of Python is only in `[project]`, which Poetry 1.8.3 does not read: "
        'write `python = ">=3.10,<4.0"` in `[tool.poetry.dependencies]`\n'
        "  pyproject.toml:6:  1 dependency is only in `[project]` (six), which Poetry 1.8.3 does not read: "
        "write it in `[tool.poetry.dependencies]`\n"
        "hint: build with Poetry 2, which reads it: `BP_POETRY_VERSION=2.x`"
    )
