"""A second build of a conda repository does again only what a change asks for, and the same lock gives the same layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.builds import layer_digests
from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.conda_build import PREFIX, CondaBuilds, environment_layer, write_environment
from tests.integration.conda_channel import CONDA_FORGE, make_channel
from tests.integration.conda_packages import CondaPackage
from tests.integration.conda_server import without_proxies
from tests.integration.data_science import reused_layers
from tests.integration.image_files import differences, read_layout
from tests.integration.package_index import PackageIndex
from tests.integration.workplace import clone_of

pytestmark = pytest.mark.integration


def _growing(version: str) -> CondaPackage:
    return CondaPackage(name="growing", version=version, noarch="generic", files={"share/growing": f"{version}\n"})


def _growing_channel(conda: CondaBuilds, directory: Path) -> Path:
    """Put a channel that a test can add packages to in the place of conda-forge."""
    channel = make_channel(directory, [_growing("1.0")])
    conda.server.channels[CONDA_FORGE] = channel
    return channel


def test_an_unchanged_build_asks_no_server_and_takes_moments(
    conda: CondaBuilds, index: PackageIndex, tmp_path: Path
) -> None:
    clone = clone_of(FIXTURES / "conda_pip_section", tmp_path / "clone")
    _, first = conda.build(clone)
    conda.server.requests.clear()
    index.requests.clear()
    finished, second = conda.build(clone, "--network", "none")
    assert second["image"]["digest"] == first["image"]["digest"]
    assert all(reused_layers(second).values())
    assert (conda.server.requests, index.requests) == ([], [])
    print(f"an unchanged build took {finished.seconds:.2f} s")
    # Three seconds on a quiet machine.
    assert finished.seconds < 20


def test_changed_code_leaves_the_environment_alone(conda: CondaBuilds, tmp_path: Path) -> None:
    clone = clone_of(FIXTURES / "conda_basic", tmp_path / "clone")
    conda.build(clone)
    conda.server.requests.clear()
    (clone / "main.py").write_text("print('changed')\n")
    _, report = conda.build(clone)
    assert environment_layer(report)["reused"]
    assert conda.server.requests == []
    assert conda.run("python", "main.py") == "changed"


def test_a_changed_pip_line_touches_no_conda_package(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["python=3.10", "pip", "tiny-tool"], pip=["alpha==1.0"])
    _, before = conda.build(repository)
    conda.server.requests.clear()
    write_environment(repository, ["python=3.10", "pip", "tiny-tool"], pip=["alpha==2.0", "gamma"])
    finished, report = conda.build(repository)
    assert conda.server.requests == []
    # Another application of the machine may have had this environment: then its layer is not made anew.
    assert environment_layer(report)["digest"] != environment_layer(before)["digest"]
    assert "kept" in finished.stderr.lower() or "reus" in finished.stderr.lower()
    assert conda.run("python", "-c", "import alpha, gamma; print(alpha.VERSION)") == "2.0"
    # What alpha 1.0 had and 2.0 has not is gone.
    left = conda.run("python", "-c", "import importlib.util; print(importlib.util.find_spec('alpha_old'))")
    assert left == "None"


def test_an_added_dependency_downloads_only_itself(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["python=3.10", "tiny-tool"])
    conda.build(repository)
    conda.server.requests.clear()
    write_environment(repository, ["python=3.10", "tiny-tool", "tiny-data"])
    finished, _ = conda.build(repository)
    assert conda.server.packages == ["tiny-data-1.0-0.conda"]
    assert "tiny-data" in finished.stderr
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"


def test_a_removed_dependency_leaves_nothing_behind(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["tiny-data", "unix-only"])
    conda.build(repository)
    write_environment(repository, ["unix-only"])
    conda.build(repository)
    assert conda.run("ls", f"{PREFIX}/share").split() == ["unix-only"]


def test_what_is_unpinned_stays_until_it_is_refreshed(conda: CondaBuilds, tmp_path: Path) -> None:
    channel = _growing_channel(conda, tmp_path / "channel")
    repository = write_environment(tmp_path / "repository", ["growing"])
    conda.build(repository)
    make_channel(channel, [_growing("2.0")])
    (repository / "notes.txt").write_text("changed\n")
    conda.build(repository)
    assert conda.run("cat", f"{PREFIX}/share/growing") == "1.0"
    conda.build(repository, "--refresh")
    assert conda.run("cat", f"{PREFIX}/share/growing") == "2.0"


def test_an_added_dependency_keeps_the_locked_versions(conda: CondaBuilds, tmp_path: Path) -> None:
    channel = _growing_channel(conda, tmp_path / "channel")
    repository = write_environment(tmp_path / "repository", ["growing"])
    conda.build(repository)
    make_channel(channel, [_growing("2.0"), CondaPackage(name="more", noarch="generic", files={"share/more": "1\n"})])
    write_environment(repository, ["growing", "more"])
    conda.build(repository)
    assert conda.run("cat", f"{PREFIX}/share/growing", f"{PREFIX}/share/more").split() == ["1.0", "1"]


def test_going_back_gives_the_first_image_again(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["python=3.10", "tiny-tool"], pip=["alpha"])
    _, first = conda.build(repository)
    write_environment(repository, ["python=3.10", "tiny-tool", "tiny-data"], pip=["alpha", "gamma"])
    _, second = conda.build(repository)
    write_environment(repository, ["python=3.10", "tiny-tool"], pip=["alpha"])
    _, third = conda.build(repository)
    assert first["image"]["digest"] != second["image"]["digest"]
    assert first["image"]["digest"] == third["image"]["digest"]


def test_equal_environments_of_two_repositories_are_one_layer_and_one_download(
    conda: CondaBuilds, tmp_path: Path
) -> None:
    dependencies = ["python=3.10", "tiny-tool", "tiny-activate"]
    one = write_environment(tmp_path / "one", dependencies)
    other = write_environment(tmp_path / "other", dependencies)
    (other / "more.py").write_text("print('another repository')\n")
    _, first = conda.build(one)
    conda.server.requests.clear()
    _, second = conda.build(other)
    assert environment_layer(first)["diffID"] == environment_layer(second)["diffID"]
    assert conda.server.packages == []


def test_a_failed_build_keeps_what_it_has_downloaded(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["python=3.10", "tiny-link-fails"])
    conda.fail(repository, "tiny-link-fails")
    assert any(name.startswith("python-3.10") for name in conda.server.packages)
    conda.server.requests.clear()
    write_environment(repository, ["python=3.10", "tiny-data"])
    conda.build(repository)
    assert conda.server.packages == ["tiny-data-1.0-0.conda"]


def test_a_damaged_store_costs_time_and_nothing_else(conda: CondaBuilds, tmp_path: Path) -> None:
    repository = write_environment(tmp_path / "repository", ["tiny-data", "tiny-activate"])
    _, first = conda.build(repository)
    store = conda.pybuild.cache_home / "pybuild"
    damaged = [*store.glob("apps/*/image/blobs/*/*"), *store.glob("apps/*/cache/**/*.json")]
    for path in [*damaged, *(store / "archives").rglob("*"), *(store / "layers").rglob("*")]:
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"{")
    finished, second = conda.build(repository)
    assert second["image"]["digest"] == first["image"]["digest"]
    assert "Traceback" not in finished.stderr
    assert conda.run("tiny-where") == f"{PREFIX}/share/tiny"


def test_two_builds_at_the_same_time_share_a_store(conda: CondaBuilds, tmp_path: Path) -> None:
    repositories = [write_environment(tmp_path / name, ["tiny-data", "tiny-tool"]) for name in ("one", "other")]
    layouts = [tmp_path / f"{repository.name}-layout" for repository in repositories]
    running = [
        conda.pybuild.start("build", repository, "--output", f"oci:{layout}", *conda.options())
        for repository, layout in zip(repositories, layouts, strict=True)
    ]
    for build in running:
        expect_success(build.finish(300))
    layers = [read_layout(layout).manifest["layers"] for layout in layouts]
    assert layers[0] == layers[1]


def test_two_cold_builds_are_equal_to_the_byte(
    conda: CondaBuilds, new_pybuild: Callable[[str], Pybuild], index: PackageIndex, tmp_path: Path
) -> None:
    layouts = []
    for name, umask in (("first", 0o022), ("second-directory", 0o077)):
        pybuild = new_pybuild(f"{name}-cache").with_env(**index.settings())
        pybuild = dataclasses.replace(pybuild, umask=umask).with_env(TZ="Pacific/Auckland" if umask == 0o077 else "UTC")
        directory = tmp_path / name
        clone = clone_of(FIXTURES / "conda_pip_section", directory / "clone")
        builds = dataclasses.replace(conda, pybuild=pybuild, directory=directory)
        builds.build(clone)
        layouts.append(read_layout(builds.layout))
    assert not differences(*layouts)


@pytest.mark.parametrize("fixture", ["conda_basic", "conda_activation", "conda_link_scripts"])
def test_two_stores_give_one_environment_layer(
    fixture: str, conda: CondaBuilds, new_pybuild: Callable[[str], Pybuild], tmp_path: Path
) -> None:
    digests = []
    for name in ("first", "second"):
        pybuild = new_pybuild(f"{name}-cache").with_env(**without_proxies())
        builds = dataclasses.replace(conda, pybuild=pybuild, directory=tmp_path / name)
        _, report = builds.build(clone_of(FIXTURES / fixture, tmp_path / name / "clone"))
        digests.append(layer_digests(report))
    assert digests[0] == digests[1]
