"""Repositories of Poetry become images that run: the project itself, its groups and extras, its lock, its Python."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, expect_error
from tests.integration.poetry_build import copy_of, kept_lock, names, skip_without_python

pytestmark = pytest.mark.integration


def test_a_stale_lock_is_an_error_that_names_the_command(poetry_builds: Builds) -> None:
    poetry_builds.fail(FIXTURES / "poetry_stale_lock", "poetry.lock", "pyproject.toml", "`poetry lock --no-update`")


def test_a_stale_lock_is_made_anew_where_that_is_asked_for(poetry_builds: Builds) -> None:
    builds = poetry_builds.with_settings(BP_POETRY_RELOCK="1")
    builds.build(FIXTURES / "poetry_stale_lock")
    assert names(builds) == {"six", "idna"}
    assert 'name = "idna"' in kept_lock(builds.image)


def test_a_lock_of_a_newer_poetry_is_an_error_that_says_so(poetry_builds: Builds) -> None:
    poetry_builds.fail(FIXTURES / "poetry_newer_lock", "poetry.lock", "1.8.3", "2.1", "BP_POETRY_VERSION")


def test_a_newer_poetry_is_taken_where_that_is_asked_for(poetry_builds: Builds) -> None:
    builds = poetry_builds.with_settings(BP_POETRY_VERSION="2.1.4")
    repository = copy_of("poetry_newer_lock", poetry_builds.directory)
    builds.build(repository)
    assert names(builds) == {"six"}
    # A project that only Poetry 2 can read, by the one that is there since the first build.
    shutil.rmtree(repository)
    shutil.copytree(FIXTURES / "poetry_two", repository)
    builds.build(repository)
    assert 'name = "six"' in kept_lock(builds.image)
    assert names(builds) == {"six"}


def test_what_poetry_1_8_cannot_read_is_named_with_the_way_out(poetry_builds: Builds) -> None:
    # Both at once: the range of Python, and the dependencies.
    mentions = ("pyproject.toml:5:", "range of Python", "pyproject.toml:6:", "dependencies", "BP_POETRY_VERSION=2")
    poetry_builds.fail(FIXTURES / "poetry_two", *mentions)


def test_a_missing_package_is_an_error_that_names_package_mode(poetry_builds: Builds) -> None:
    poetry_builds.fail(FIXTURES / "poetry_missing_package", "pyproject.toml", "notebooks", "package-mode = false")


@pytest.mark.parametrize(
    ("settings", "mentions"),
    [
        ({"BP_POETRY_WITH": "figures"}, ("BP_POETRY_WITH", "figures", "docs")),
        ({"BP_POETRY_EXTRAS": "figures"}, ("BP_POETRY_EXTRAS", "figures")),
    ],
)
def test_a_group_or_extra_that_is_not_there_is_an_error(
    settings: dict[str, str], mentions: tuple[str, ...], poetry_builds: Builds
) -> None:
    poetry_builds.with_settings(**settings).fail(FIXTURES / "poetry_groups", *mentions)


@pytest.mark.thorough  # so shows test_poetry_renku.py
def test_the_newest_interpreter_of_the_range_is_taken(poetry_builds: Builds, machine_store: Path) -> None:
    skip_without_python(machine_store, "3.12")
    poetry_builds.build(FIXTURES / "poetry_python_range")
    major, minor = _python(poetry_builds)
    assert (major, minor) >= (3, 12)


@pytest.mark.parametrize("how", ["file", pytest.param("setting", marks=pytest.mark.thorough)])
def test_the_interpreter_can_be_chosen_within_the_range(how: str, poetry_builds: Builds, machine_store: Path) -> None:
    skip_without_python(machine_store, "3.11")
    repository = copy_of("poetry_unlocked", poetry_builds.directory)
    builds = poetry_builds
    if how == "file":
        (repository / ".python-version").write_text("3.11\n")
    else:
        builds = builds.with_settings(BP_CPYTHON_VERSION="3.11")
    builds.build(repository)
    assert _python(builds) == (3, 11)


def test_a_choice_outside_of_the_range_names_both(poetry_builds: Builds, machine_store: Path) -> None:
    skip_without_python(machine_store, "3.12")
    repository = copy_of("poetry_python_range", poetry_builds.directory)
    (repository / ".python-version").write_text("3.10\n")
    poetry_builds.fail(repository, ".python-version", "3.10", "pyproject.toml:", "3.12")


def test_a_range_that_no_interpreter_fits_is_shown_with_what_there_is(poetry_builds: Builds) -> None:
    repository = copy_of("poetry_unlocked", poetry_builds.directory)
    project = repository / "pyproject.toml"
    text = project.read_text().replace('python = "^3.10"', 'python = "~3.8"')
    project.write_text(text)
    line = text.splitlines().index('python = "~3.8"') + 1
    poetry_builds.fail(repository, f"pyproject.toml:{line}", "3.8", "3.10.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tool.ruff]\nline-length = 100\n", "tool.poetry"),
        ('[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n', "flit_core"),
    ],
)
def test_a_project_file_that_is_not_poetry_s_is_passed_over_with_the_reason(
    text: str, reason: str, poetry_builds: Builds, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pyproject.toml").write_text(text)
    message = expect_error(poetry_builds.start(repository), 20, "pybuild/poetry")
    assert reason in message


def test_a_broken_project_file_is_named_with_its_line(poetry_builds: Builds, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pyproject.toml").write_text('[tool.poetry]\nname = "broken\n')
    poetry_builds.fail(repository, "pyproject.toml:2")


def _python(builds: Builds) -> tuple[int, int]:
    major, minor = builds.run("python", "-c", "import sys; print(*sys.version_info[:2])").split()
    return int(major), int(minor)
