"""A lock that a repository carries is installed from exactly, without a solve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import FIXTURES
from tests.integration.conda_build import PREFIX, CondaBuilds, write_environment
from tests.integration.conda_channel import CONDA_FORGE
from tests.integration.conda_locks import Locked, conda_lock, explicit_lock, find_packages, pixi_lock
from tests.integration.package_index import PackageIndex, sha256_of
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return clone_of(FIXTURES / "conda_lock", tmp_path / "clone")


@pytest.fixture
def packages(conda: CondaBuilds) -> list[Locked]:
    """What the fixture needs, with the older of two versions of tiny-tool, which no solve would choose."""
    return find_packages(conda.server.channels[CONDA_FORGE], ["python=3.10", "pip", "tiny-tool=1.0"])


def _expect_locked(conda: CondaBuilds, clone: Path) -> None:
    _, report = conda.build(clone)
    assert conda.run("tiny-tool") == f"tiny-tool 1.0 {PREFIX}"
    assert not [path for path in conda.server.requests if "repodata" in path or "shards" in path]
    assert any("tiny-tool-1.0-" in text for text in report["locks"]["pybuild/conda"].values())


@pytest.mark.parametrize("hashes", ["md5", "sha256"])
def test_an_explicit_lock(hashes: str, conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    (clone / "conda-linux-64.lock").write_text(explicit_lock(packages, hashes=hashes))
    _expect_locked(conda, clone)


def test_a_conda_lock(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    (clone / "conda-lock.yml").write_text(conda_lock(packages))
    _expect_locked(conda, clone)


def test_a_conda_lock_with_pip_packages(
    conda: CondaBuilds, index: PackageIndex, clone: Path, packages: list[Locked]
) -> None:
    wheel = index.directory / "alpha-1.0-py3-none-any.whl"
    url = f"http://{index.host}/files/{wheel.name}"
    (clone / "environment.yml").write_text((clone / "environment.yml").read_text() + "  - pip\n  - pip:\n    - alpha\n")
    (clone / "conda-lock.yml").write_text(conda_lock(packages, pip={"alpha==1.0": (url, sha256_of(wheel))}))
    _expect_locked(conda, clone)
    assert conda.run("python", "-c", "import alpha; print(alpha.VERSION)") == "1.0"


def test_a_pixi_lock(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    (clone / "pixi.lock").write_text(pixi_lock(packages))
    _expect_locked(conda, clone)


def test_a_lock_alone_is_enough(conda: CondaBuilds, tmp_path: Path, packages: list[Locked]) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "conda-lock.yml").write_text(conda_lock(packages))
    _expect_locked(conda, repository)


def test_our_own_lock_is_one_that_builds_the_same(conda: CondaBuilds, clone: Path, tmp_path: Path) -> None:
    _, solved = conda.build(clone)
    (explicit,) = [text for text in solved["locks"]["pybuild/conda"].values() if "@EXPLICIT" in text]
    (clone / "conda-linux-64.lock").write_text(explicit)
    conda.server.requests.clear()
    conda.build(clone)
    assert conda.run("tiny-tool") == f"tiny-tool 2.0 {PREFIX}"
    assert not [path for path in conda.server.requests if "repodata" in path or "shards" in path]


def test_a_lock_can_be_passed_over(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    (clone / "conda-lock.yml").write_text(conda_lock(packages))
    finished, _ = conda.with_settings(BP_CONDA_LOCK="none").build(clone)
    assert conda.run("tiny-tool") == f"tiny-tool 2.0 {PREFIX}"
    assert any("notice:" in line and "conda-lock.yml" in line for line in finished.stderr.splitlines())


def test_a_lock_that_lacks_a_dependency_is_refused(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    (clone / "environment.yml").write_text((clone / "environment.yml").read_text() + "  - tiny-data\n")
    (clone / "conda-lock.yml").write_text(conda_lock(packages))
    conda.fail(clone, "environment.yml:8:", "conda-lock.yml", "tiny-data")


def test_a_lock_with_another_version_is_refused(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    text = (clone / "environment.yml").read_text().replace("- tiny-tool", "- tiny-tool>=2")
    (clone / "environment.yml").write_text(text)
    (clone / "conda-linux-64.lock").write_text(explicit_lock(packages))
    conda.fail(clone, "environment.yml:7:", "conda-linux-64.lock", "tiny-tool")


def test_a_lock_with_packages_of_defaults_is_refused(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    lock = (
        explicit_lock(packages) + "https://repo.anaconda.com/pkgs/main/noarch/tiny-data-1.0-0.conda#" + "0" * 32 + "\n"
    )
    (clone / "conda-linux-64.lock").write_text(lock)
    conda.fail(clone, f"conda-linux-64.lock:{len(lock.splitlines())}", "repo.anaconda.com/pkgs/main")


def test_a_lock_whose_hash_is_wrong_is_refused(conda: CondaBuilds, clone: Path, packages: list[Locked]) -> None:
    right = packages[-1].record["sha256"]
    (clone / "conda-linux-64.lock").write_text(explicit_lock(packages, hashes="sha256").replace(right, "0" * 64))
    conda.fail(clone, "tiny-tool")


def test_a_lock_for_another_platform_is_refused(conda: CondaBuilds, tmp_path: Path, packages: list[Locked]) -> None:
    repository = write_environment(tmp_path / "repository", ["tiny-tool"])
    lock = conda_lock(packages).replace("linux-64", "osx-arm64").replace("/osx-arm64/", "/linux-64/")
    (repository / "conda-lock.yml").write_text(lock)
    conda.fail(repository, "conda-lock.yml", "linux-64")
