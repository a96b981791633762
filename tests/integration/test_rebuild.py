"""A second build does again only what a change asks for, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_success
from tests.integration.data_science import build_with_report, layer_digests, reused_layers
from tests.integration.image_files import file_names, read_layout
from tests.integration.package_index import PackageIndex, write_wheel

pytestmark = pytest.mark.integration


@pytest.fixture
def unpinned(repository: Path) -> Path:
    """The repository, asking for any `gamma`."""
    (repository / "requirements.txt").write_text("gamma\n")
    (repository / "main.py").write_text("import gamma\nprint('gamma', gamma.VERSION)\n")
    return repository


def test_what_is_unpinned_stays_until_it_is_refreshed(
    offline_pybuild: Pybuild, index: PackageIndex, unpinned: Path, tmp_path: Path
) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    build_with_report(offline_pybuild, unpinned, tmp_path / "report.json", "--output", output)
    write_wheel(index.directory, "gamma", "2.0")
    kept, report = build_with_report(offline_pybuild, unpinned, tmp_path / "report.json", "--output", output)
    assert all(reused_layers(report).values())
    assert "lock" in kept.stderr
    assert expect_success(offline_pybuild("run", output, "--", "python", "main.py")).stdout == "gamma 1.0\n"
    build_with_report(offline_pybuild, unpinned, tmp_path / "report.json", "--output", output, "--refresh")
    assert expect_success(offline_pybuild("run", output, "--", "python", "main.py")).stdout == "gamma 2.0\n"


def test_an_added_dependency_keeps_the_interpreter_and_the_locked_versions(
    offline_pybuild: Pybuild, index: PackageIndex, unpinned: Path, tmp_path: Path
) -> None:
    output = f"oci:{tmp_path / 'layout'}"
    _, first = build_with_report(offline_pybuild, unpinned, tmp_path / "report.json", "--output", output)
    write_wheel(index.directory, "gamma", "2.0")
    (unpinned / "requirements.txt").write_text("gamma\nalpha\n")
    added, second = build_with_report(offline_pybuild, unpinned, tmp_path / "report.json", "--output", output)
    reused = reused_layers(second)
    assert all(is_reused for name, is_reused in reused.items() if "cpython" in name), reused
    before, after = layer_digests(first), layer_digests(second)
    # Another application of the machine may have had this environment: then its layer is not made anew.
    assert {name for name in before if before[name] != after[name]} == {"pybuild/pip:venv", "sbom", "application"}
    assert "`alpha` was added" in added.stderr
    assert "Discarding" in added.stderr
    assert expect_success(offline_pybuild("run", output, "--", "python", "main.py")).stdout == "gamma 1.0\n"
    imported = offline_pybuild("run", output, "--", "python", "-c", "import alpha; print(alpha.VERSION)")
    assert expect_success(imported).stdout == "2.0\n"


def test_a_changed_or_removed_requirement_leaves_nothing_behind(
    offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    output = ("--output", f"oci:{tmp_path / 'layout'}")
    (repository / "requirements.txt").write_text("alpha==1.0\ngamma\n")
    build_with_report(offline_pybuild, repository, tmp_path / "report.json", *output)
    before = file_names(read_layout(tmp_path / "layout"))
    assert any("alpha_old" in name for name in before)
    (repository / "requirements.txt").write_text("alpha==2.0\n")
    build_with_report(offline_pybuild, repository, tmp_path / "report.json", *output)
    left = file_names(read_layout(tmp_path / "layout"))
    assert not {name for name in left if "gamma" in name or "alpha_old" in name or "alpha-1.0" in name}


def test_going_back_gives_the_first_image_again(offline_pybuild: Pybuild, repository: Path, tmp_path: Path) -> None:
    _, first = build_with_report(offline_pybuild, repository, tmp_path / "report.json")
    (repository / "requirements.txt").write_text("alpha==1.0\ngamma\n")
    _, second = build_with_report(offline_pybuild, repository, tmp_path / "report.json")
    (repository / "requirements.txt").write_text("alpha==1.0\n")
    _, third = build_with_report(offline_pybuild, repository, tmp_path / "report.json")
    assert first["image"]["digest"] != second["image"]["digest"]
    assert first["image"]["digest"] == third["image"]["digest"]


def test_an_unchanged_build_asks_the_index_for_nothing(
    offline_pybuild: Pybuild, index: PackageIndex, repository: Path, tmp_path: Path
) -> None:
    build_with_report(offline_pybuild, repository, tmp_path / "report.json")
    index.requests.clear()
    finished, report = build_with_report(offline_pybuild, repository, tmp_path / "report.json", "--network", "none")
    assert all(reused_layers(report).values())
    assert index.requests == []
    print(f"an unchanged build took {finished.seconds:.2f} s")


@pytest.mark.parametrize("damaged", ["blobs/sha256/*", "index.json"])
def test_a_damaged_store_costs_time_and_nothing_else(
    damaged: str, offline_pybuild: Pybuild, repository: Path, tmp_path: Path
) -> None:
    _, first = build_with_report(offline_pybuild, repository, tmp_path / "report.json")
    (apps,) = (offline_pybuild.cache_home / "pybuild" / "apps").iterdir()
    for path in (apps / "image").glob(damaged):
        path.write_bytes(b"damaged")
    for document in (apps / "cache").rglob("*.json"):
        document.write_text("{")
    finished, report = build_with_report(
        offline_pybuild, repository, tmp_path / "report.json", "--output", f"oci:{tmp_path / 'layout'}"
    )
    assert report["image"]["digest"] == first["image"]["digest"]
    assert "Traceback" not in finished.stderr
    assert read_layout(tmp_path / "layout").digest == first["image"]["digest"]
