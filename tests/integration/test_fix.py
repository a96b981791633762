"""`pybuild fix`: what a refused environment file becomes, and what stays as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.command import FIXTURES, Pybuild, expect_error, expect_success

pytestmark = pytest.mark.integration


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """A copy of the repository whose environment file names `defaults`."""
    return Path(shutil.copytree(FIXTURES / "conda_defaults", tmp_path / "refused"))


def patch_in(message: str) -> str:
    """The patch in an error message, or in a log."""
    lines = message.splitlines()
    start = lines.index("--- a/environment.yml")
    end = next((at for at in range(start, len(lines)) if not lines[at].startswith(("-", "+", "@", " ", "\\"))), None)
    return "\n".join(lines[start:end]) + "\n"


def test_the_build_shows_the_patch_that_fix_makes(pybuild: Pybuild, refused: Path) -> None:
    file = refused / "environment.yml"
    before = file.read_bytes()
    failed = pybuild("build", refused)
    message = expect_error(
        failed, 51, "environment.yml:4:5", "`defaults`", "BP_CONDA_NODEFAULTS=rewrite", "pybuild fix"
    )
    only_shown = expect_success(pybuild("fix", "--diff", refused))
    assert file.read_bytes() == before
    assert only_shown.stdout == patch_in(message)
    file.chmod(0o640)
    fixed = expect_success(pybuild("fix", refused))
    assert fixed.stdout == "environment.yml\n"
    assert patch_in(fixed.stderr) == only_shown.stdout
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in refused.iterdir()] == ["environment.yml"]
    corrected = file.read_bytes()
    file.write_bytes(before)
    subprocess.run(["git", "apply", "-"], cwd=refused, input=only_shown.stdout.encode(), check=True)
    assert file.read_bytes() == corrected
    again = expect_success(pybuild("fix", refused))
    assert again.stdout == ""
    assert "nothing to correct" in again.stderr
    assert file.read_bytes() == corrected


def test_an_export_of_windows_loses_what_linux_has_not(pybuild: Pybuild, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(FIXTURES / "conda_exported_windows", tmp_path / "exported"))
    failed = pybuild("build", repository)
    expect_error(failed, 51, "vs2015_runtime", "Windows", "pybuild fix", "build strings")
    expect_success(pybuild("fix", repository))
    text = (repository / "environment.yml").read_text()
    assert "  - libtiny=1.0\n  - tiny-tool=2.0\n" in text
    assert not any(name in text for name in ("ucrt", "vs2015_runtime", "pywin32"))
    assert "prefix: C:" in text


def test_what_needs_a_decision_is_said_and_not_written(pybuild: Pybuild, tmp_path: Path) -> None:
    text = "channels:\n  - ../ours\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.10\n"
    (tmp_path / "environment.yml").write_text(text)
    expect_error(pybuild("fix", tmp_path), 51, "environment.yml:2:5", "yours to decide")
    assert (tmp_path / "environment.yml").read_text() == text


def test_a_file_that_is_broken_is_explained(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text("channels: [\n")
    expect_error(pybuild("fix", tmp_path), 51, "environment.yml:")


def test_a_repository_of_another_kind_has_nothing_to_correct(pybuild: Pybuild, repository: Path) -> None:
    assert "nothing to correct" in expect_success(pybuild("fix", repository)).stderr


def test_only_a_directory_can_be_corrected(pybuild: Pybuild, tmp_path: Path) -> None:
    expect_error(pybuild("fix", "https://git.example.org/group/project.git"), 3, "not a directory", "clone")
    expect_error(pybuild("fix", tmp_path / "missing"), 3, "does not exist")


def test_the_operator_can_build_without_a_change(pybuild: Pybuild, refused: Path) -> None:
    before = (refused / "environment.yml").read_bytes()
    # Nothing listens there: what is asked for is what counts.
    settings = ("-e", "BP_CONDA_NODEFAULTS=rewrite", "--channel-alias", "http://127.0.0.1:9")
    finished = pybuild("build", *settings, refused)
    assert finished.status != 0
    assert "notice: `environment.yml` is read as if it were corrected" in finished.stderr
    assert patch_in(finished.stderr)
    assert "127.0.0.1:9/conda-forge" in finished.error_message
    assert (refused / "environment.yml").read_bytes() == before
