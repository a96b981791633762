"""Channels that platforms may not use are refused, whatever they are called, and the error shows the file as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.builds import BUILDPACK_FAILED
from tests.integration.command import FIXTURES, expect_success
from tests.integration.conda_build import PREFIX, PUBLIC, CondaBuilds, write_environment
from tests.integration.conda_channel import DEFAULTS, SMUGGLED
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration

_DISGUISES = (
    "defaults",
    "default",
    "anaconda",
    "main",
    "r",
    "pkgs/main",
    "pkgs/free",
    "https://repo.anaconda.com/pkgs/main",
    "https://repo.anaconda.com/pkgs/r/",
    "https://conda.anaconda.org/main",
    "https://conda.anaconda.org/anaconda",
    "https://conda.anaconda.org/t/to-ken/main",
    "https://mirrors.example.org/anaconda/pkgs/main",
)
_UNSAFE = ("http://127.0.0.1:9/conda-forge", "file:///srv/channel", "./channel")
_OF_OTHER_CHANNELS = ("defaults::tiny-data", "bioconda::tiny-data")


def test_disguises_of_defaults_and_channels_that_nobody_vouches_for_are_refused(
    conda: CondaBuilds, tmp_path: Path
) -> None:
    refused = (*_DISGUISES, *_UNSAFE)
    repository = write_environment(
        tmp_path / "repository", ["tiny-data", *_OF_OTHER_CHANNELS], channels=["conda-forge", *refused, "nodefaults"]
    )
    lines = (repository / "environment.yml").read_text().splitlines()
    message = conda.fail(repository)
    shown = message.splitlines()
    for name in (*refused, *_OF_OTHER_CHANNELS):
        place = f"environment.yml:{lines.index(f'  - {name}') + 1}:"
        (found,) = [line for line in shown if place in line]
        assert name.replace("to-ken", "***") in found
    assert not [line for line in shown if f"environment.yml:{lines.index('  - conda-forge') + 1}:" in line]
    assert not [line for line in shown if f"environment.yml:{lines.index('  - tiny-data') + 1}:" in line]
    assert "to-ken" not in message
    assert conda.server.requests == []


def test_defaults_is_refused_with_the_whole_file_as_it_should_be(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_defaults", tmp_path / "clone")
    message = conda.fail(clone, "environment.yml:4:", "Anaconda", "pybuild fix", "BP_CONDA_NODEFAULTS=rewrite")
    lines = [line.strip() for line in message.splitlines()]
    assert "-  - defaults" in [line.lstrip() for line in message.splitlines()] or "- defaults" in " ".join(lines)
    assert any(line.startswith("+") and "nodefaults" in line for line in lines)
    assert "# for everything else" in message


def test_a_missing_nodefaults_is_refused_with_a_patch(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_missing_nodefaults", tmp_path / "clone")
    message = conda.fail(clone, "environment.yml", "pybuild fix", "BP_CONDA_NODEFAULTS=inject")
    assert any(line.strip().startswith("+") and "nodefaults" in line for line in message.splitlines())


def test_nodefaults_is_added_where_the_operator_says_so(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_missing_nodefaults", tmp_path / "clone")
    finished, _ = conda.with_settings(BP_CONDA_NODEFAULTS="inject").build(clone)
    assert conda.run("tiny-tool") == f"tiny-tool 2.0 {PREFIX}"
    assert any("notice:" in line and "nodefaults" in line for line in finished.stderr.splitlines())


def test_defaults_is_replaced_where_the_operator_says_so(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_defaults", tmp_path / "clone")
    conda.with_settings(BP_CONDA_NODEFAULTS="inject").fail(clone, "environment.yml:4:")
    finished, _ = conda.with_settings(BP_CONDA_NODEFAULTS="rewrite").build(clone)
    assert conda.run("tiny-tool") == f"tiny-tool 2.0 {PREFIX}"
    assert any(line.strip().startswith("-") and "- defaults" in line for line in finished.stderr.splitlines())


def test_the_corrected_file_builds(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_defaults", tmp_path / "clone")
    expect_success(conda.pybuild("fix", clone))
    assert "# for everything else" in (clone / "environment.yml").read_text()
    conda.build(clone)
    assert conda.run("tiny-tool") == f"tiny-tool 2.0 {PREFIX}"


def test_an_export_of_windows_is_refused_and_its_correction_builds(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_exported_windows", tmp_path / "clone")
    lines = tuple(f"environment.yml:{number}:" for number in (9, 10, 11, 12))
    conda.fail(clone, *lines, "pywin32", "vs2015_runtime", "pybuild fix")
    expect_success(conda.pybuild("fix", clone))
    corrected = (clone / "environment.yml").read_text()
    assert "pywin32" not in corrected
    assert "h63175ca_0" not in corrected
    conda.build(clone)
    assert conda.run("tiny-cli") == f"42 {PREFIX}"


def test_a_mirror_that_serves_defaults_is_refused(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["only-in-defaults"])
    mirror = f"{PUBLIC}={conda.server.url}/{DEFAULTS}"
    conda.with_settings(BP_CONDA_MIRRORS=mirror).fail(repository, "pkgs/main")


def test_repodata_that_leads_to_defaults_is_refused(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["only-in-defaults"])
    mirror = f"{PUBLIC}={conda.server.url}/{SMUGGLED}"
    conda.with_settings(BP_CONDA_MIRRORS=mirror).fail(repository, "only-in-defaults", "pkgs/main")
    assert conda.server.packages == []


def test_a_template_that_installs_nothing_is_passed_over(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_template", tmp_path / "clone")
    said = expect_success(conda.pybuild("detect", clone)).stdout
    assert any(
        line.startswith("no") and "pybuild/conda" in line and "environment.yml" in line for line in said.splitlines()
    )
    conda.build(clone)
    assert conda.run("python", "-c", "import alpha; print(alpha.VERSION)") == "1.0"


def test_two_lines_that_disagree_are_named(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_conflict", tmp_path / "clone")
    message = conda.fail(clone, "environment.yml:8:", "environment.yml:10:", "left", "right", "shared")
    for other in (6, 7, 9):
        assert f"environment.yml:{other}:" not in message


@pytest.mark.parametrize(
    ("dependencies", "mentions"),
    [
        (["unix-only", "careful", "right"], ("environment.yml:6:", "environment.yml:7:", "shared")),
        (["unix-only", "tiny-tol"], ("environment.yml:6:", "tiny-tol", "tiny-tool")),
        (["unix-only", "tiny-tool=9"], ("environment.yml:6:", "tiny-tool=9")),
        (["unix-only", "future-only"], ("environment.yml:6:", "__glibc", "BP_CONDA_OVERRIDE_GLIBC")),
        (["unix-only", "accelerated=1.0=cuda*"], ("environment.yml:6:", "__cuda", "BP_CONDA_OVERRIDE_CUDA")),
        (["unix-only", "needs-missing"], ("environment.yml:6:", "not-in-any-channel")),
        (["unix-only", "tiny-data=1.0=h0123456_7"], ("environment.yml:6:", "h0123456_7", "pybuild fix")),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_solved_is_explained(
    dependencies: list[str], mentions: tuple[str, ...], conda: CondaBuilds, tmp_path: Path
) -> None:
    conda.fail(write_environment(tmp_path / "repository", dependencies), *mentions)


def test_several_mistakes_are_told_at_once(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["-c evil", "numpy; touch x", "{pip>=22: null}"])
    conda.fail(repository, *(f"environment.yml:{line}:" for line in (5, 6, 7)))
    assert conda.server.requests == []


def test_detection_does_not_fall_through_to_pip(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["tiny-data"], channels=["defaults"])
    (repository / "requirements.txt").write_text("alpha==1.0\n")
    finished = conda.start(repository)
    assert finished.status == BUILDPACK_FAILED
    assert "environment.yml:2:" in finished.error_message
