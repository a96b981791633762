"""The package and the readme of a project in package mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildpacks.poetry.errors import InvalidProject
from tests.buildpacks.poetry.projects import HEAD, problems_of, read, write

PYTHON = '[tool.poetry.dependencies]\npython = "^3.10"\n'


@pytest.mark.parametrize(
    ("keys", "files"),
    [
        ("", ["thesis.py"]),
        ("", ["thesis/__init__.py"]),
        ("", ["thesis/deep/module.py"]),
        ("", ["src/thesis.py"]),
        ("", ["src/thesis/__init__.py"]),
        ('packages = [{ include = "other", from = "lib" }]\n', ["lib/other/a.py"]),
        ('packages = [{ include = "one" }, { include = "two/**/*.py" }]\n', ["one/a.py", "two/a/b.py", "two/c.py"]),
        ('readme = "README.md"\n', ["thesis.py", "README.md"]),
        # What a build script makes cannot be known.
        ('build = "build.py"\n', []),
    ],
)
def test_packages_are_found_where_poetry_finds_them(tmp_path: Path, keys: str, files: list[str]) -> None:
    write(tmp_path, HEAD + keys + PYTHON, *files)
    assert problems_of(tmp_path) == ()


@pytest.mark.parametrize(
    ("keys", "files", "expected"),
    [
        ("", [], [("no-package", 2)]),
        ("", ["thesis/notes.txt"], [("no-package", 2)]),
        ("", ["thesis.py", "thesis/__init__.py"], [("no-package", 2)]),
        ('packages = [{ include = "one" }, { include = "two" }]\n', ["one/a.py"], [("no-package", 6)]),
        ('packages = [\n { include = "one" },\n { include = "two" },\n]\n', ["two/a.txt"], [("no-package", 7), ("no-package", 8)]),
        ('packages = [{ include = "/etc" }]\n', [], [("no-package", 6)]),
        ('readme = "README.md"\n', ["thesis.py"], [("no-readme", 6)]),
        ('readme = ["A.md", "B.md"]\n', ["thesis.py", "A.md"], [("no-readme", 6)]),
        ('readme = "README.md"\n', [], [("no-package", 2), ("no-readme", 6)]),
    ],
)  # fmt: skip
def test_what_is_missing_of_a_package_names_the_mode_that_needs_none(
    tmp_path: Path, keys: str, files: list[str], expected: list[tuple[str, int]]
) -> None:
    write(tmp_path, HEAD + keys + PYTHON, *files)
    assert [(problem.kind, problem.origin.line) for problem in problems_of(tmp_path)] == expected
    with pytest.raises(InvalidProject) as caught:
        read(tmp_path)
    assert "set `package-mode = false`" in str(caught.value.hint)


def test_without_package_mode_neither_is_needed(tmp_path: Path) -> None:
    write(tmp_path, f'{HEAD}readme = "README.md"\npackage-mode = false\n{PYTHON}')
    project = read(tmp_path)
    assert (project.package_mode, project.name) == (False, "thesis")
