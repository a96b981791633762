"""Repositories that come as a directory, by git and as an archive give the same image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.data_science import build_with_report
from tests.integration.image_files import read_layout

pytestmark = pytest.mark.integration


@pytest.fixture
def git_repository(repository: Path, tmp_path: Path) -> Path:
    """A git repository that has the project in `projects/alpha`, a tag `v1`, and on its branch a later state."""
    origin = tmp_path / "origin"
    shutil.copytree(repository, origin / "projects" / "alpha")
    _git(origin, "init", "--quiet", "--initial-branch", "main")
    _commit(origin)
    _git(origin, "tag", "v1")
    (origin / "projects" / "alpha" / "main.py").write_text("print('later')\n")
    _commit(origin)
    return origin


def _git(directory: Path, *command: str) -> str:
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    result = subprocess.run(["git", *identity, *command], cwd=directory, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def _commit(directory: Path) -> None:
    _git(directory, "add", "--all")
    _git(directory, "commit", "--quiet", "--message", "Change")


def test_a_git_url_with_ref_and_subdirectory(offline_pybuild: Pybuild, git_repository: Path, tmp_path: Path) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    url = f"file://{git_repository}#v1:projects/alpha"
    _, report = build_with_report(offline_pybuild, url, tmp_path / "report.json", "--output", output)
    assert report["source"]["revision"] == _git(git_repository, "rev-parse", "v1")
    assert report["source"]["subdirectory"] == "projects/alpha"
    assert expect_success(offline_pybuild("run", output, "--", "python", "main.py")).stdout == "alpha 1.0\n"
    label = read_layout(tmp_path / "layout").label("io.buildpacks.project.metadata")
    assert label["source"]["version"]["commit"] == report["source"]["revision"]


def test_the_default_branch_is_taken_without_a_ref(
    offline_pybuild: Pybuild, git_repository: Path, tmp_path: Path
) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    expect_success(offline_pybuild("build", f"file://{git_repository}#:projects/alpha", "--output", output))
    assert expect_success(offline_pybuild("run", output, "--", "python", "main.py")).stdout == "later\n"


@pytest.mark.parametrize("kind", ["gztar", "zip", "xztar"])
def test_an_archive_gives_the_image_of_its_directory(
    kind: str, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "archive"), kind, root_dir=tmp_path, base_dir="repository")
    build_with_report(offline_pybuild, archive, tmp_path / "1.json", "--output", f"oci:{tmp_path / 'from-archive'}")
    build_with_report(
        offline_pybuild, repository, tmp_path / "2.json", "--output", f"oci:{tmp_path / 'from-directory'}"
    )
    assert read_layout(tmp_path / "from-archive").digest == read_layout(tmp_path / "from-directory").digest


def test_a_ref_that_does_not_exist_is_named(offline_pybuild: Pybuild, git_repository: Path) -> None:
    expect_error(offline_pybuild("build", f"file://{git_repository}#v9"), 3, "v9")


def test_a_subdirectory_that_does_not_exist_is_named(offline_pybuild: Pybuild, git_repository: Path) -> None:
    expect_error(offline_pybuild("build", f"file://{git_repository}#v1:nowhere"), 3, "nowhere")


def test_a_repository_that_does_not_exist_is_named(offline_pybuild: Pybuild, tmp_path: Path) -> None:
    expect_error(offline_pybuild("build", tmp_path / "nowhere"), 3, str(tmp_path / "nowhere"))
    expect_error(offline_pybuild("build", f"file://{tmp_path / 'nowhere'}"), 3, str(tmp_path / "nowhere"))


def test_a_broken_archive_is_named(offline_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b\x08\x00 and nothing more")
    expect_error(offline_pybuild("build", tmp_path / "broken.tar.gz"), 3, "broken.tar.gz")
