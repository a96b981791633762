"""A second build of a Poetry repository does again only what a change asks for; the same repository gives the same image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.builds import Builds, layer_digests
from tests.integration.command import FIXTURES, Pybuild
from tests.integration.data_science import reused_layers
from tests.integration.image_files import differences
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.poetry_build import PoetryImages, copy_of, kept_lock, names, write_project
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration

_PROJECT = """\
[tool.poetry]
name = "study"
version = "0.1.0"
description = ""
authors = []
package-mode = false

[tool.poetry.dependencies]
python = "^3.10"
"""


@pytest.fixture
def offline(offline_pybuild: Pybuild, tmp_path: Path) -> Builds:
    """Builds with the test's own package index as the only one."""
    return Builds(pybuild=offline_pybuild, directory=tmp_path)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A repository without a lock that asks for any `gamma`."""
    files = {"pyproject.toml": f'{_PROJECT}gamma = "*"\n', "main.py": "import gamma\nprint(gamma.VERSION)\n"}
    return write_project(tmp_path / "study", files)


def test_an_unchanged_build_starts_neither_poetry_nor_uv(offline: Builds, index: PackageIndex, study: Path) -> None:
    first, before = offline.build(study, "--verbose")
    assert "poetry lock" in first.stderr
    index.requests.clear()
    finished, report = offline.build(study, "--verbose", "--network", "none")
    assert all(reused_layers(report).values())
    assert report["image"]["digest"] == before["image"]["digest"]
    assert index.requests == []
    commands = [line for line in finished.stderr.splitlines() if "poetry lock" in line or "poetry check" in line]
    assert not commands
    print(f"an unchanged build took {finished.seconds:.2f} s")
    # One and a half seconds on a quiet machine; more where other tests run beside it.
    assert finished.seconds < 20


def test_changed_code_leaves_the_environment_of_a_package_alone(poetry_images: PoetryImages) -> None:
    built = poetry_images.built("poetry_package")
    before = built.report
    code = built.repository / "src" / "thesis" / "report.py"
    code.write_text(code.read_text().replace("second", "changed"))
    finished, report = built.builds.build(built.repository)
    reused = reused_layers(report)
    assert all(is_reused for name, is_reused in reused.items() if "cpython" in name or "venv" in name), reused
    kept = {name: digest for name, digest in layer_digests(before).items() if "venv" in name}
    assert {name: digest for name, digest in layer_digests(report).items() if "venv" in name} == kept
    assert built.builds.run("thesis").split() == ["first", "1", "changed", "2"]
    print(f"a build after a change of code took {finished.seconds:.2f} s")


def test_changed_code_of_a_linked_project_leaves_the_environment_alone(poetry_images: PoetryImages) -> None:
    built = poetry_images.built("poetry_paths")
    (built.repository / "libraries/linked/linked.py").write_text("GREETING = 'changed'\n")
    _, report = built.builds.build(built.repository)
    reused = reused_layers(report)
    assert all(is_reused for name, is_reused in reused.items() if "venv" in name), reused
    assert built.builds.run("python", "main.py").startswith("changed ")


def test_changed_code_of_an_installed_project_is_in_the_image(poetry_images: PoetryImages) -> None:
    built = poetry_images.built("poetry_paths")
    (built.repository / "libraries/installed/installed.py").write_text("GREETING = 'changed'\n")
    built.builds.build(built.repository)
    assert built.builds.run("python", "main.py").splitlines()[1].startswith("changed ")


def test_a_new_script_is_on_the_path(poetry_images: PoetryImages) -> None:
    built = poetry_images.built("poetry_package")
    project = built.repository / "pyproject.toml"
    project.write_text(project.read_text().replace("[build-system]", 'again = "thesis.report:main"\n\n[build-system]'))
    built.builds.build(built.repository)
    assert built.builds.run("again") == built.builds.run("thesis")


def test_what_was_locked_stays_until_it_is_refreshed(offline: Builds, index: PackageIndex, study: Path) -> None:
    offline.build(study)
    write_wheel(index.directory, "gamma", "2.0")
    (study / "main.py").write_text("import gamma\nprint('again', gamma.VERSION)\n")
    offline.build(study)
    assert offline.run("python", "main.py") == "again 1.0"
    offline.build(study, "--refresh")
    assert offline.run("python", "main.py") == "again 2.0"


def test_a_changed_dependency_is_locked_anew_and_leaves_nothing_behind(
    offline: Builds, index: PackageIndex, study: Path
) -> None:
    offline.build(study)
    (study / "pyproject.toml").write_text(f'{_PROJECT}beta = "*"\n')
    offline.build(study)
    assert names(offline) == {"alpha", "beta"}
    assert 'name = "gamma"' not in kept_lock(offline.image)


def test_a_setting_that_changes_what_is_installed_counts(poetry_builds: Builds) -> None:
    repository = copy_of("poetry_groups", poetry_builds.directory)
    poetry_builds.build(repository)
    assert names(poetry_builds) == {"six"}
    poetry_builds.with_settings(BP_POETRY_WITH="docs").build(repository)
    assert names(poetry_builds) == {"six", "idna"}
    _, report = poetry_builds.build(repository)
    assert names(poetry_builds) == {"six"}
    assert report["image"]["digest"]


@pytest.mark.parametrize(
    "fixture", ["poetry_package", "poetry_paths", pytest.param("poetry_no_package", marks=pytest.mark.thorough)]
)
def test_two_clones_two_stores_and_two_umasks_give_one_digest(
    fixture: str, new_pybuild: Callable[[str], Pybuild], tmp_path: Path
) -> None:
    images = []
    for name, umask in (("first", 0o022), ("second-directory", 0o077)):
        clone = clone_of(FIXTURES / fixture, tmp_path / name / "a" / "clone")
        command = dataclasses.replace(new_pybuild(f"{name}-cache"), umask=umask, cwd=clone.parent)
        command = command.with_env(TZ="Pacific/Auckland" if umask == 0o077 else "UTC")
        builds = Builds(pybuild=command, directory=tmp_path / name)
        builds.build(clone)
        images.append(builds.image)
    assert not differences(*images)


def test_an_interrupted_lock_is_nothing_to_go_by(offline: Builds, index: PackageIndex, study: Path) -> None:
    (study / "pyproject.toml").write_text(f'{_PROJECT}no-such-package = "*"\n')
    offline.fail(study, "pyproject.toml", "no-such-package")
    (study / "pyproject.toml").write_text(f'{_PROJECT}gamma = "*"\n')
    offline.build(study)
    assert names(offline) == {"gamma"}
