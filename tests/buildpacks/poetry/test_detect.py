"""Which repositories are Poetry's, and what their plan asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lifecycle.cnb.plan import Requirement
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.poetry.projects import NO_PACKAGE

PEP_621 = (
    '[project]\nname = "a"\nrequires-python = ">=3.10"\n[build-system]\nbuild-backend = "poetry.core.masonry.api"\n'
)


@pytest.fixture
def bench(workbench: Callable[[str], Workbench]) -> Workbench:
    return workbench("poetry")


def python(bench: Workbench) -> Requirement:
    run, plan = bench.detect()
    assert (run.status, run.stderr) == (0, "")
    assert plan.provides == ("site-packages",)
    first, second = plan.requires
    assert (second.name, second.metadata) == ("site-packages", {"launch": True})
    assert first.name == "python"
    return first


@pytest.mark.parametrize(
    ("text", "version", "line"),
    [
        (NO_PACKAGE, ">=3.10,<4.0", 4),
        (NO_PACKAGE.replace("^3.10", "~3.9 || ^3.12"), ">=3.9,<3.10 || >=3.12,<4.0", 4),
        (NO_PACKAGE.replace("^3.10", "*"), ">=3", 4),
        ("[tool.poetry]\npackage-mode = false\n", ">=3", 1),
        (f"{PEP_621}[tool.poetry]\n", ">=3.10", 3),
    ],
)
def test_the_plan_has_the_range_of_python_and_its_line(bench: Workbench, text: str, version: str, line: int) -> None:
    bench.write({"pyproject.toml": text})
    assert python(bench).metadata == {
        "version": version,
        "version-origin": f"pyproject.toml:{line}",
        "build": True,
        "launch": True,
    }


@pytest.mark.parametrize(
    "content",
    [
        b"[tool.poetry]\nname = \n",
        b"a = 1 2\n[ tool . poetry . dependencies ]\n",
        b"[tool.poetry]\nname = '\xff'\n",
        "[tool.poetry]\n".encode("utf-16"),
        b"[tool]\npoetry = 1\n",
        NO_PACKAGE.replace("^3.10", "three").encode(),
        NO_PACKAGE.replace("^3.10", "3.12").encode(),
    ],
)
def test_a_broken_project_of_poetry_is_left_to_the_build_to_explain(bench: Workbench, content: bytes) -> None:
    bench.write({"pyproject.toml": content})
    asked = python(bench)
    if content != b"[tool]\npoetry = 1\n":
        assert asked.metadata == {"build": True, "launch": True}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no `pyproject.toml`"),
        ({"poetry.lock": ""}, "there is `poetry.lock`"),
        ({"pyproject.toml": '[build-system]\nbuild-backend = "hatchling.build"\n'}, "`hatchling.build`"),
        ({"pyproject.toml": "[tool.ruff]\n[tool.pytest.ini_options]\n"}, "only configures `ruff`, `pytest`"),
        ({"pyproject.toml": "[project]\nname = 'a'\n"}, "project of another tool"),
        ({"pyproject.toml": PEP_621}, "`BP_POETRY_VERSION=2.x`"),
        ({"pyproject.toml": ""}, "nothing is in it"),
        ({"pyproject.toml": "[tool.poetry-dynamic-versioning]\nenable = true\n"}, "`poetry-dynamic-versioning`"),
        ({"pyproject.toml": "{{ template }}\n"}, "pyproject.toml:1: invalid TOML"),
        ({"pyproject.toml": "# [tool.poetry]\na = \n"}, "there is no `[tool.poetry]` in it"),
    ],
)
def test_what_is_not_poetrys_is_passed_over_with_the_reason(
    bench: Workbench, files: dict[str, str], reason: str
) -> None:
    bench.write(files)
    run, _ = bench.detect()
    assert (run.status, run.stderr) == (100, "")
    assert reason in run.stdout


def test_a_directory_of_that_name_is_passed_over(bench: Workbench) -> None:
    (bench.app / "pyproject.toml").mkdir()
    run, _ = bench.detect()
    assert run.status == 100
    assert "not a regular file" in run.stdout


def test_poetry_2_needs_no_table_of_its_own(bench: Workbench) -> None:
    bench.env["BP_POETRY_VERSION"] = "2.x"
    bench.write({"pyproject.toml": PEP_621})
    assert python(bench).metadata["version"] == ">=3.10"


def test_a_setting_that_means_nothing_is_an_error(bench: Workbench) -> None:
    bench.env["BP_POETRY_VERSION"] = "newest"
    bench.write({"pyproject.toml": NO_PACKAGE})
    run, _ = bench.detect()
    assert run.status == 1
    assert "`BP_POETRY_VERSION` cannot be `newest`" in run.stderr
