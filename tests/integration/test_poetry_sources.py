"""Where Poetry's packages come from: private indexes with credentials, git servers, files of wrong hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.builds import Builds, files_that_hold
from tests.integration.git_server import GitServer
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.poetry_build import copy_of, kept_lock, names, write_project

pytestmark = pytest.mark.integration

_USER, _PASSWORD = "reader-7f3a", "canary-9d41c2"
_CREDENTIALS = {"POETRY_HTTP_BASIC_LAB_INDEX_USERNAME": _USER, "POETRY_HTTP_BASIC_LAB_INDEX_PASSWORD": _PASSWORD}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that answers only its reader."""
    with PackageIndex(tmp_path / "lab", credentials=(_USER, _PASSWORD)) as made:
        write_wheel(made.directory, "alpha", "1.5")
        yield made


def _expect_no_secrets(builds: Builds, *texts: str) -> None:
    for text in (*texts, (builds.directory / "report.json").read_text()):
        assert _PASSWORD not in text
        assert _USER not in text
    assert not files_that_hold(builds.pybuild, builds.image, _PASSWORD, _USER)


@pytest.mark.parametrize("installer", [None, "poetry"])
def test_credentials_of_an_index_are_used_and_kept_nowhere(
    installer: str | None, poetry_builds: Builds, lab: PackageIndex
) -> None:
    repository = copy_of("poetry_private_index", poetry_builds.directory, host=lab.host)
    builds = poetry_builds.with_settings(**_CREDENTIALS, BP_POETRY_INSTALLER=installer)
    finished, _ = builds.build(repository, "--verbose")
    assert names(builds) == {"alpha", "six"}
    _expect_no_secrets(builds, finished.stderr, finished.stdout)
    # The same with the lock in the repository, and in a build that changes nothing.
    (repository / "poetry.lock").write_text(kept_lock(builds.image))
    for _ in range(2):
        finished, _ = builds.build(repository, "--verbose")
        _expect_no_secrets(builds, finished.stderr, finished.stdout)
    assert builds.run("python", "-c", "import alpha; print(alpha.VERSION)") == "1.5"


def test_an_index_that_wants_credentials_is_named_with_the_variables(poetry_builds: Builds, lab: PackageIndex) -> None:
    repository = copy_of("poetry_private_index", poetry_builds.directory, host=lab.host)
    poetry_builds.fail(repository, "lab-index", "POETRY_HTTP_BASIC_LAB_INDEX_USERNAME")


def test_wrong_credentials_are_told_as_such_and_not_shown(poetry_builds: Builds, lab: PackageIndex) -> None:
    repository = copy_of("poetry_private_index", poetry_builds.directory, host=lab.host)
    settings = {**_CREDENTIALS, "POETRY_HTTP_BASIC_LAB_INDEX_PASSWORD": "wrong-canary-11"}
    builds = poetry_builds.with_settings(**settings)
    message = builds.fail(repository, "lab-index")
    assert "wrong-canary-11" not in message


def test_git_gives_the_commit_of_the_lock(poetry_builds: Builds, greetings: GitServer) -> None:
    repository = copy_of("poetry_git", poetry_builds.directory, host=greetings.host)
    project = repository / "pyproject.toml"
    project.write_text(project.read_text().replace('tag = "v1.0"', 'branch = "main"'))
    poetry_builds.build(repository)
    assert poetry_builds.run("python", "-c", "import greeting; print(greeting.TEXT)") == "hello"
    (repository / "poetry.lock").write_text(kept_lock(poetry_builds.image))
    # The branch goes on; the lock does not.
    greetings.commit("greeting", {"greeting.py": "TEXT = 'changed'\n"})
    poetry_builds.build(repository, "--refresh")
    assert poetry_builds.run("python", "-c", "import greeting; print(greeting.TEXT)") == "hello"


def test_a_git_server_that_is_gone_is_named(poetry_builds: Builds, tmp_path: Path) -> None:
    with GitServer(tmp_path / "gone") as server:
        host = server.host
    repository = copy_of("poetry_git", poetry_builds.directory, host=host)
    poetry_builds.fail(repository, "pyproject.toml:11", "greeting")


def test_a_commit_that_is_not_there_is_named(poetry_builds: Builds, greetings: GitServer) -> None:
    repository = copy_of("poetry_git", poetry_builds.directory, host=greetings.host)
    project = repository / "pyproject.toml"
    project.write_text(project.read_text().replace("v1.0", "v9.9"))
    poetry_builds.fail(repository, "greeting", "v9.9")


def test_a_file_of_a_wrong_hash_is_refused(poetry_builds: Builds) -> None:
    repository = copy_of("poetry_url", poetry_builds.directory)
    lock = repository / "poetry.lock"
    text = lock.read_text()
    start = text.index("sha256:") + len("sha256:")
    lock.write_text(text[:start] + "0" * 64 + text[start + 64 :])
    poetry_builds.fail(repository, "six", "poetry.lock")


@pytest.mark.parametrize("path", ["../outside", "/etc"])
def test_a_project_outside_of_the_repository_is_refused(path: str, poetry_builds: Builds, tmp_path: Path) -> None:
    text = (
        '[tool.poetry]\nname = "a"\nversion = "1"\ndescription = ""\nauthors = []\npackage-mode = false\n'
        f'[tool.poetry.dependencies]\npython = "^3.10"\noutside = {{ path = "{path}" }}\n'
    )
    repository = write_project(tmp_path / "repository", {"pyproject.toml": text})
    poetry_builds.fail(repository, "pyproject.toml", path)


@pytest.mark.parametrize("installer", [None, "poetry"])
def test_a_build_backend_that_fails_is_told_with_the_project(installer: str | None, poetry_builds: Builds) -> None:
    repository = copy_of("poetry_paths", poetry_builds.directory)
    (repository / "libraries/installed/setup.py").write_text("raise SystemExit('no luck today')\n")
    builds = poetry_builds.with_settings(BP_POETRY_INSTALLER=installer)
    finished = builds.start(repository)
    assert finished.status == 51
    assert "no luck today" in finished.stderr
    assert "installed" in finished.error_message
