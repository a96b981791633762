from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.plan import BuildPlan, PlanEntry
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.python.interpreters import add_interpreters

Make = Callable[[str], Workbench]


@pytest.fixture
def bench(workbench: Make, tmp_path: Path) -> Workbench:
    made = workbench("python")
    made.env["PYBUILD_INTERPRETERS"] = str(tmp_path / "interpreters")
    add_interpreters(tmp_path / "interpreters", "3.10.13", "3.12.1")
    return made


def test_python_is_offered_to_every_application(bench: Workbench) -> None:
    run, plan = bench.detect()
    assert (run.status, plan) == (0, BuildPlan(provides=("python",)))


def test_the_default_is_unpacked_into_a_layer_for_build_and_launch(bench: Workbench) -> None:
    run = bench.build((PlanEntry(name="python"),))
    assert run.status == 0
    assert bench.layer("cpython").types == LayerTypes(launch=True, build=True, cache=True)
    assert bench.layer("cpython").metadata["version"] == "3.10.13"
    assert (bench.layers / "cpython" / "bin" / "python3").stat().st_mode & 0o777 == 0o755
    assert (bench.layers / "cpython" / "env.launch" / "PYTHONUNBUFFERED.default").read_text() == "1"


def test_the_default_says_that_it_is_past_its_end_of_life_and_how_to_move_on(bench: Workbench) -> None:
    out = bench.build().stdout
    assert "notice: Python 3.10 is past its end of life (October 2026)" in out
    assert "write `3.12` into `.python-version`" in out


def test_the_repository_chooses_the_version(bench: Workbench) -> None:
    bench.write({".python-version": "3.12\n"})
    run = bench.build()
    assert bench.layer("cpython").metadata["version"] == "3.12.1"
    assert "Python 3.12.1, from .python-version:1" in run.stdout


def test_a_buildpack_chooses_when_the_repository_does_not(bench: Workbench) -> None:
    bench.build((PlanEntry(name="python", metadata={"version": "3.12"}),))
    assert bench.layer("cpython").metadata["version"] == "3.12.1"


def test_another_patch_release_does_for_a_file_and_says_so(bench: Workbench) -> None:
    bench.write({"runtime.txt": "python-3.10.4\n"})
    assert (
        "notice: runtime.txt:1 asks for Python 3.10.4; the builder's patch release of 3.10 is 3.10.13"
        in bench.build().stdout
    )


def test_a_version_that_is_not_there_is_an_error_with_its_place(bench: Workbench) -> None:
    bench.write({".python-version": "# ours\n3.9\n"})
    run = bench.build()
    assert run.status == 1
    assert run.stderr == (
        "error: .python-version:2: the builder has no Python 3.9\n"
        "  available  3.12.1, 3.10.13\n"
        "hint: ask for an available version, or add this one to `cpython` below `[pybuild.interpreters]` in builder.toml\n"
    )


def require(text: str) -> tuple[PlanEntry, ...]:
    """What the poetry buildpack requires of a project with this range."""
    metadata = {"version": text, "version-origin": "pyproject.toml:9", "build": True, "launch": True}
    return (PlanEntry(name="python", metadata=metadata),)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (">=3", "3.13.0"),
        (">=3.10,<4.0", "3.13.0"),
        (">=3.10,<3.13", "3.12.1"),
        (">=3.9,<3.11 || >=3.12.5,<3.13", "3.10.13"),
        (">=3.8,<3.9 || >=3.12,<3.13", "3.12.1"),
    ],
)
def test_the_newest_in_the_range_is_taken(bench: Workbench, tmp_path: Path, text: str, version: str) -> None:
    add_interpreters(tmp_path / "interpreters", "3.10.13", "3.11.7", "3.12.1", "3.13.0")
    run = bench.build(require(text))
    assert bench.layer("cpython").metadata["version"] == version
    assert f"Python {version}, from pyproject.toml:9" in run.stdout


@pytest.mark.parametrize(
    ("name", "content"), [(".python-version", "3.10.2\n"), ("runtime.txt", "python-3.10\n"), (None, "3.10")]
)
def test_the_repository_and_the_user_choose_within_the_range(bench: Workbench, name: str | None, content: str) -> None:
    if name is None:
        bench.env["BP_CPYTHON_VERSION"] = content
    else:
        bench.write({name: content})
    assert bench.build(require(">=3.8")).status == 0
    assert bench.layer("cpython").metadata["version"] == "3.10.13"


@pytest.mark.parametrize("asked", ["3.10", "3.9"])
def test_a_choice_outside_of_the_range_is_an_error_that_names_both(bench: Workbench, asked: str) -> None:
    bench.write({".python-version": f"{asked}\n"})
    run = bench.build(require(">=3.11,<4.0"))
    assert run.status == 1
    assert run.stderr == (
        f"error: .python-version:1 asks for Python {asked}, which pyproject.toml:9 does not allow: `>=3.11,<4.0`\n"
        "  available and allowed  3.12.1\n"
        "hint: change one of the two; without .python-version:1 the newest that the range allows is taken\n"
    )


def test_a_choice_in_the_range_that_is_not_there_is_an_error_with_both(bench: Workbench) -> None:
    bench.write({".python-version": "3.11\n"})
    run = bench.build(require(">=3.11,<4.0"))
    assert run.stderr.startswith(
        "error: .python-version:1: the builder has no Python 3.11\n"
        "  allowed    >=3.11,<4.0 (pyproject.toml:9)\n"
        "  available  3.12.1, 3.10.13\n"
    )


def test_a_range_that_no_interpreter_is_in_is_an_error_with_its_line(bench: Workbench) -> None:
    run = bench.build(require(">=3.14,<4.0"))
    assert run.status == 1
    assert run.stderr.startswith(
        "error: pyproject.toml:9: the builder has no Python >=3.14,<4.0\n  available  3.12.1, 3.10.13\n"
    )


def test_the_way_to_a_newer_python_goes_through_the_range(bench: Workbench) -> None:
    out = bench.build(require(">=3.10,<3.11")).stdout
    assert "to move on, allow it in pyproject.toml:9 and write `3.12` into `.python-version`" in out


def test_an_unchanged_interpreter_is_used_again(bench: Workbench) -> None:
    bench.build()
    bench.restore()
    (bench.layers / "cpython" / "mark").touch()
    run = bench.build()
    assert "Using cached Python 3.10.13" in run.stdout
    assert (bench.layers / "cpython" / "mark").exists()


def test_another_interpreter_replaces_the_old_one_and_says_why(bench: Workbench) -> None:
    bench.build()
    bench.restore()
    (bench.layers / "cpython" / "mark").touch()
    bench.env["BP_CPYTHON_VERSION"] = "3.12"
    run = bench.build()
    assert "version has changed from 3.10.13 to 3.12.1" in run.stdout
    assert not (bench.layers / "cpython" / "mark").exists()


def test_a_damaged_archive_is_refused(bench: Workbench, tmp_path: Path) -> None:
    with (tmp_path / "interpreters" / "cpython-3.10.13.tar.gz").open("ab") as stream:
        stream.write(b"x")
    run = bench.build()
    assert run.status == 1
    assert "another SHA-256" in run.stderr


def test_a_builder_without_interpreters_says_so(bench: Workbench, tmp_path: Path) -> None:
    bench.env["PYBUILD_INTERPRETERS"] = str(tmp_path / "none")
    assert "pybuild builder create" in bench.build().stderr
