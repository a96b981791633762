"""What is in images of Poetry repositories: the project itself, its groups and extras, and the distributions that Poetry itself installs.

Those are the same by name, version, commit, and whether they are linked to their code. Tests that read the same image share one build.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.builds import Builds
from tests.integration.command import FIXTURES
from tests.integration.git_server import GitServer
from tests.integration.image_bills import assert_python_bills, read_bills
from tests.integration.image_check import validate_image
from tests.integration.image_files import file_names, iterate_files
from tests.integration.machine import machine_traces
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.poetry_build import (
    VENV,
    PoetryImages,
    copy_of,
    distributions,
    kept_lock,
    names,
    poetry_distributions,
    skip_without_python,
)
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


def test_a_package_is_installed_and_its_code_is_that_of_the_repository(poetry_images: PoetryImages) -> None:
    builds = poetry_images.built("poetry_package").builds
    image = validate_image(builds.layout)
    assert image.env["VIRTUAL_ENV"] == VENV
    assert builds.run("thesis").split() == ["first", "1", "second", "2"]
    assert builds.run("sh", "-c", "command -v thesis") == f"{VENV}/bin/thesis"
    imported = builds.run("python", "-c", "import os; os.chdir('/'); import thesis; print(thesis.__file__)")
    assert imported == "/workspace/src/thesis/__init__.py"
    assert_python_bills(builds, "pybuild_poetry/venv")
    assert "purl" not in read_bills(image)["pybuild_poetry/venv"]["thesis"], "nobody else has it"


def test_a_repository_that_is_no_package_gets_its_dependencies_only(poetry_images: PoetryImages) -> None:
    builds = poetry_images.built("poetry_no_package").builds
    assert builds.run("python", "main.py").splitlines()[2] == "colorama None"
    # The newest interpreter fits, and what the lock has for old ones only is left out.
    assert names(builds) == {"requests", "pysocks", "idna", "urllib3", "certifi", "charset-normalizer"}


def test_nothing_of_poetry_and_of_the_machine_is_in_the_image(poetry_images: PoetryImages) -> None:
    builds = poetry_images.built("poetry_package").builds
    image = builds.image
    assert not {
        name for name in file_names(image) if re.search(r"(^|/)(poetry|cleo|dulwich|keyring|virtualenv)/", name)
    }
    assert not {name for name in file_names(image) if name.startswith(("opt/pybuild", "home/pybuild/.cache"))}
    traces = machine_traces(poetry_images.directory, builds.pybuild.cache_home)
    found = [f"{what} in the config" for what, trace in traces.items() if trace in str(image.config).encode()]
    for file in iterate_files(image):
        text = file.content + file.name.encode() + file.entry.linkname.encode()
        found += [f"{what} in {file.name}" for what, trace in traces.items() if trace in text]
    assert not found


def test_pip_is_there_and_bytecode_is_compiled(poetry_images: PoetryImages) -> None:
    builds = poetry_images.built("poetry_no_package").builds
    assert "site-packages/pip" in builds.run("pip", "--version")
    assert any(re.search(r"requests/__pycache__/api\.cpython-3\d+\.pyc$", name) for name in file_names(builds.image))


def test_without_a_lock_the_build_locks_says_so_and_keeps_the_lock(poetry_images: PoetryImages) -> None:
    built = poetry_images.built("poetry_unlocked")
    notices = [line for line in built.log.splitlines() if "notice:" in line]
    assert any("poetry.lock" in line and "pinned" in line for line in notices), notices
    lock = kept_lock(built.builds.image)
    assert 'name = "six"' in lock
    assert "content-hash" in lock
    assert built.report["locks"]["pybuild/poetry"]["poetry.lock"] == lock
    built.builds.run("python", "-c", "import six")


def test_a_lock_of_the_repository_is_kept_to(poetry_images: PoetryImages) -> None:
    built = poetry_images.built("poetry_groups")
    before = (FIXTURES / "poetry_groups" / "poetry.lock").read_text()
    assert "not pinned" not in built.log
    assert (built.repository / "poetry.lock").read_text() == before
    assert built.builds.run("cat", "/workspace/poetry.lock") == before.strip()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"six"}),
        pytest.param({"BP_POETRY_WITH": "docs"}, {"six", "idna"}, marks=pytest.mark.thorough),
        ({"BP_POETRY_WITH": "dev,docs"}, {"six", "iniconfig", "idna"}),
        # Once something is left out, the rest is what Poetry installs by itself.
        ({"BP_POETRY_WITHOUT": "dev"}, {"six", "tabulate"}),
    ],
)
def test_groups_are_installed_as_asked_for(
    settings: dict[str, str], expected: set[str], poetry_images: PoetryImages
) -> None:
    assert names(poetry_images.built("poetry_groups", settings).builds) == expected


def test_projects_of_the_repository_are_linked_or_installed(poetry_images: PoetryImages) -> None:
    linked, installed = poetry_images.built("poetry_paths").builds.run("python", "main.py").splitlines()
    assert linked == "linked /workspace/libraries/linked/linked.py"
    assert installed.startswith(f"installed {VENV}/lib/")


@pytest.mark.parametrize(
    ("fixture", "settings", "options"),
    [
        ("poetry_package", {}, _ONLY_MAIN),
        pytest.param("poetry_no_package", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        pytest.param("poetry_groups", {}, _ONLY_MAIN, marks=pytest.mark.thorough),
        ("poetry_groups", {"BP_POETRY_WITH": "dev,docs"}, ("--only", "main,dev,docs")),
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
    poetry_images: PoetryImages,
    poetry: RealPoetry,
    machine_store: Path,
) -> None:
    if fixture == "poetry_python_range":
        skip_without_python(machine_store, "3.12")
    built = poetry_images.built(fixture, settings)
    found = distributions(built.builds)
    assert found
    assert found == poetry_distributions(poetry, built.builds, built.repository, machine_store, *options)


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
    poetry_images: PoetryImages, poetry: RealPoetry, machine_store: Path, tmp_path: Path
) -> None:
    built = poetry_images.built("poetry_unlocked")
    repository = copy_of("poetry_unlocked", tmp_path)
    (repository / "poetry.lock").write_text(kept_lock(built.builds.image))
    found = distributions(built.builds)
    assert found == poetry_distributions(poetry, built.builds, repository, machine_store, *_ONLY_MAIN)


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
