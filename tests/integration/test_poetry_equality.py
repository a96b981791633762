"""An image has the distributions that Poetry itself installs: name, version, commit, and whether it is linked to its code."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.builds import Builds
from tests.integration.git_server import GitServer
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.poetry_build import copy_of, distributions, kept_lock, poetry_distributions, skip_without_python
from tests.integration.real_poetry import RealPoetry

pytestmark = pytest.mark.integration

CORPUS = Path(os.environ.get("PYBUILD_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
_ONLY_MAIN = ("--only", "main")
# Real projects whose packages are wheels of PyPI and soon locked, the oldest Python that each can have, and the files that it
# needs to be found; its own code is not stored, and none of it is run. The first has the build backend of an older Poetry.
PROJECTS = {
    "CorndelWithSoftwire__DevOps-Course-Starter__pyproject.toml": ("3.10", ("todo_app/__init__.py",)),
    "chineduCoded__cache-proxy__pyproject.toml": ("3.12", ("app/__init__.py", "app/caching_proxy.py")),
    "petr-ngn__deepnote-hackathon__pyproject.toml": ("3.13", ("ai_ocr_financial_analyser/__init__.py",)),
}


@pytest.mark.parametrize(
    ("fixture", "settings", "options"),
    [
        ("poetry_package", {}, _ONLY_MAIN),
        pytest.param("poetry_no_package", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        pytest.param("poetry_groups", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        ("poetry_groups", {"BP_POETRY_WITH": "plots,docs"}, ("--only", "main,plots,docs")),
        pytest.param("poetry_groups", {"BP_POETRY_WITHOUT": "dev"}, ("--without", "dev"), marks=pytest.mark.thorough),
        pytest.param("poetry_extras", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        pytest.param(
            "poetry_extras",
            {"BP_POETRY_EXTRAS": "tables"},
            (*_ONLY_MAIN, "--extras", "tables"),
            marks=pytest.mark.thorough,
        ),
        ("poetry_extras", {"BP_POETRY_EXTRAS": "all"}, (*_ONLY_MAIN, "--extras", "all")),
        ("poetry_paths", {}, _ONLY_MAIN),
        pytest.param("poetry_url", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        pytest.param("poetry_python_range", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        pytest.param("poetry_package", {"BP_POETRY_INSTALLER": "poetry"}, _ONLY_MAIN, marks=pytest.mark.thorough),
        ("poetry_paths", {"BP_POETRY_INSTALLER": "poetry"}, _ONLY_MAIN),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value) if value else "defaults",
)
def test_a_fixture_is_installed_as_poetry_installs_it(
    fixture: str,
    settings: dict[str, str],
    options: tuple[str, ...],
    poetry_builds: Builds,
    poetry: RealPoetry,
    machine_store: Path,
) -> None:
    if fixture == "poetry_python_range":
        skip_without_python(machine_store, "3.12")
    repository = copy_of(fixture, poetry_builds.directory)
    builds = poetry_builds.with_settings(**settings)
    builds.build(repository)
    found = distributions(builds)
    assert found
    assert found == poetry_distributions(poetry, builds, repository, machine_store, *options)


def test_git_is_installed_as_poetry_installs_it(
    poetry_builds: Builds, poetry: RealPoetry, greetings: GitServer, machine_store: Path
) -> None:
    repository = copy_of("poetry_git", poetry_builds.directory, host=greetings.host)
    # Without a lock the build locks, and Poetry installs what that says.
    poetry_builds.build(repository)
    (repository / "poetry.lock").write_text(kept_lock(poetry_builds.image))
    found = distributions(poetry_builds)
    assert [entry.commit for entry in found if entry.name == "greeting"] != [""]
    assert found == poetry_distributions(poetry, poetry_builds, repository, machine_store, *_ONLY_MAIN)


def test_an_index_of_the_project_is_used_as_poetry_uses_it(
    poetry_builds: Builds, poetry: RealPoetry, machine_store: Path, tmp_path: Path
) -> None:
    with PackageIndex(tmp_path / "lab") as lab:
        write_wheel(lab.directory, "alpha", "1.5")
        # PyPI's six must be taken: the index is for who names it.
        write_wheel(lab.directory, "six", "1.17.0", files={"six.py": "raise ImportError('of the wrong index')\n"})
        repository = copy_of("poetry_private_index", poetry_builds.directory, host=lab.host)
        poetry_builds.build(repository)
        (repository / "poetry.lock").write_text(kept_lock(poetry_builds.image))
        found = distributions(poetry_builds)
        assert {(entry.name, entry.version) for entry in found} == {("alpha", "1.5"), ("six", "1.17.0")}
        assert found == poetry_distributions(poetry, poetry_builds, repository, machine_store, *_ONLY_MAIN)
    poetry_builds.run("python", "-c", "import six, alpha")


def test_what_the_build_locked_is_what_poetry_installs(
    poetry_builds: Builds, poetry: RealPoetry, machine_store: Path
) -> None:
    repository = copy_of("poetry_unlocked", poetry_builds.directory)
    poetry_builds.build(repository)
    (repository / "poetry.lock").write_text(kept_lock(poetry_builds.image))
    found = distributions(poetry_builds)
    assert found == poetry_distributions(poetry, poetry_builds, repository, machine_store, *_ONLY_MAIN)


@pytest.mark.skipif(not (CORPUS / "pyproject").is_dir(), reason=f"no corpus in {CORPUS}; name it with PYBUILD_CORPUS")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] * (number > 0)) for number, name in enumerate(PROJECTS)]
)
def test_a_real_project_is_installed_as_poetry_installs_it(
    name: str, poetry_builds: Builds, poetry: RealPoetry, machine_store: Path, tmp_path: Path
) -> None:
    minor, files = PROJECTS[name]
    skip_without_python(machine_store, minor)
    repository = tmp_path / "repository"
    for path in ("README.md", *files):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text("")
    shutil.copyfile(CORPUS / "pyproject" / name, repository / "pyproject.toml")
    poetry_builds.build(repository)
    (repository / "poetry.lock").write_text(kept_lock(poetry_builds.image))
    found = distributions(poetry_builds)
    assert len(found) > 1
    assert found == poetry_distributions(poetry, poetry_builds, repository, machine_store, *_ONLY_MAIN)
