"""Poetry in the builder: what it is made of is written down, whole and with hashes, and stands in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pybuild.builder import poetry
from pybuild.builder.poetry import is_poetry_made, known_poetry_versions, poetry_directory, put_poetry


def requirements(version: str) -> list[tuple[Requirement, list[str]]]:
    text = Path(poetry.__file__).with_name(f"poetry-{version}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(Requirement(line.partition(" --hash")[0]), re.findall(r"--hash=(\S+)", line)) for line in joined]


def test_poetry_1_8_3_is_known() -> None:
    assert "1.8.3" in known_poetry_versions()


@pytest.mark.parametrize("version", known_poetry_versions())
def test_every_package_has_one_version_and_hashes(version: str) -> None:
    found = requirements(version)
    names = [requirement.name for requirement, _ in found]
    assert len(names) == len(set(names)) > 30
    for requirement, hashes in found:
        assert re.fullmatch(r"==[0-9][0-9.]*", str(requirement.specifier)), requirement
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", text) for text in hashes), requirement
    pinned = {requirement.name: str(requirement.specifier) for requirement, _ in found}
    assert pinned["poetry"] == f"=={version}"
    assert {"poetry-core", "poetry-plugin-export", "poetry-plugin-pypi-mirror"} < pinned.keys()


def test_the_place_in_the_store_says_what_it_was_made_for(tmp_path: Path) -> None:
    first = poetry_directory("1.8.3", "one base", tmp_path)
    assert first == poetry_directory("1.8.3", "one base", tmp_path) != poetry_directory("1.8.3", "another", tmp_path)
    assert not is_poetry_made(first)


def test_it_is_put_beside_the_other_tools_with_a_program_that_starts_it(tmp_path: Path) -> None:
    package = tmp_path / "store" / "packages" / "poetry"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    opt = tmp_path / "opt"
    (opt / "bin").mkdir(parents=True)
    put_poetry("1.8.3", tmp_path / "store", opt)
    assert (opt / "poetry" / "1.8.3" / "poetry" / "__init__.py").is_file()
    program = opt / "bin" / "poetry-1.8.3"
    assert program.stat().st_mode & 0o777 == 0o755
    assert program.read_text().startswith("#!/usr/bin/python3 -IB\n")
    compile(program.read_text(), "poetry-1.8.3", "exec")
