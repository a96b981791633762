"""Environments are divided so that a change of a package changes little else, and nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from lifecycle.oci.tree import Entry
from lifecycle.oci.tree import scan_tree as scan
from lifecycle.parts import Division, divide_layer
from tests.lifecycle.environments import SITE_PACKAGES, add_distribution

MIB = 1 << 20
LARGE = {"numpy": 30 * MIB, "pandas": 20 * MIB, "scipy": 25 * MIB}


def make_environment(root: Path, sizes: Mapping[str, int]) -> Path:
    for name, size in sizes.items():
        add_distribution(root, name, {f"{name}/__init__.py": size, f"../../../bin/{name}": 10})
    (root / "requirements.lock").write_text(str(sorted(sizes)))
    (root / "env").mkdir()
    return root


def divide(root: Path, *, limit: int = 40) -> Division:
    found = divide_layer("venv", scan(root), limit=limit)
    assert found is not None
    return found


def contents(division: Division) -> dict[str, list[tuple[bytes, int]]]:
    trees = {**division.parts, "venv": division.rest}
    return {name: [(entry.path, entry.size) for entry in tree.entries if entry.path] for name, tree in trees.items()}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    return make_environment(tmp_path / "env", {**LARGE, **{f"small{number}": 200_000 for number in range(60)}})


def test_large_packages_are_alone_and_the_others_together(environment: Path) -> None:
    division = divide(environment)
    names = list(division.parts)
    assert names[:3] == ["venv.package-numpy", "venv.package-pandas", "venv.package-scipy"]
    assert names[3:] == [f"venv.packages-{number:02}" for number in range(4)]
    files = {entry.path.decode() for entry in division.parts["venv.package-numpy"].entries if not entry.is_directory}
    assert {"bin/numpy", f"{SITE_PACKAGES}/numpy/__init__.py"} < files
    rest = [entry.path for entry in division.rest.entries]
    assert rest == [b"", b"bin", b"env", b"lib", b"requirements.lock"], "with every directory at the top"


def test_the_parts_are_together_the_tree_and_no_file_is_in_two(environment: Path) -> None:
    tree, division = scan(environment), divide(environment)
    parts = [*division.parts.values(), division.rest]
    assert {entry for part in parts for entry in part.entries} == set(tree.entries)
    files = [entry.path for part in parts for entry in part.entries if not entry.is_directory]
    assert len(files) == len(set(files))


def test_no_package_can_claim_the_environment_of_the_layer(environment: Path) -> None:
    add_distribution(environment, "bold", {"../../../env/PATH.override": 10, "bold.py": 2 * MIB})
    paths = {entry.path for entry in divide(environment).rest.entries}
    assert b"env/PATH.override" in paths


def test_another_small_package_changes_one_part_and_the_rest(environment: Path) -> None:
    before = contents(divide(environment))
    make_environment(environment.parent / "more", {**LARGE, "tabulate": 150_000})
    shutil.copytree(environment.parent / "more" / SITE_PACKAGES, environment / SITE_PACKAGES, dirs_exist_ok=True)
    after = contents(divide(environment))
    changed = [name for name in after if after[name] != before[name]]
    assert len(changed) == 1
    assert changed[0].startswith("venv.packages-")


def test_another_version_of_a_large_package_changes_its_own_part_only(environment: Path) -> None:
    before = contents(divide(environment))
    shutil.rmtree(environment / SITE_PACKAGES / "numpy-1.0.dist-info")
    add_distribution(environment, "numpy", {"numpy/__init__.py": 31 * MIB, "../../../bin/numpy": 10}, version="1.1")
    after = contents(divide(environment))
    assert [name for name in after if after[name] != before[name]] == ["venv.package-numpy"]


@pytest.mark.parametrize("limit", [4, 5, 7, 12, 40])
def test_there_are_never_more_parts_than_the_limit(tmp_path: Path, limit: int) -> None:
    environment = make_environment(tmp_path, {f"p{number}": 2 * MIB for number in range(100)})
    division = divide(environment, limit=limit)
    assert limit // 2 < len(division.parts) + 1 <= limit


def test_what_is_small_or_has_no_packages_or_no_room_stays_whole(environment: Path, tmp_path: Path) -> None:
    small = make_environment(tmp_path / "small", {"numpy": 1 * MIB})
    assert divide_layer("venv", scan(small)) is None
    (small / "data").touch()
    with (small / "data").open("w") as stream:
        stream.truncate(50 * MIB)
    shutil.rmtree(small / "lib")
    assert divide_layer("venv", scan(small)) is None
    assert divide_layer("venv", scan(environment), limit=3) is None


def test_the_division_depends_on_names_and_sizes_only(environment: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(environment, copy)
    assert contents(divide(copy)) == contents(divide(environment))


def test_modes_of_directories_are_the_same_in_every_part(environment: Path) -> None:
    (environment / "lib").chmod(0o775)
    division = divide(environment)

    def modes(entries: tuple[Entry, ...]) -> set[int]:
        return {entry.mode for entry in entries if entry.path == b"lib"}

    assert {mode for part in division.parts.values() for mode in modes(part.entries)} == {0o775}
