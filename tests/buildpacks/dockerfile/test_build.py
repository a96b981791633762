"""`bin/build`: the interpreter of the image, where the user says that it is theirs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.cnb.layer import LayerTypes
from tests.buildpacks.conftest import Workbench

Make = Callable[[str], Workbench]


@pytest.fixture
def bench(workbench: Make) -> Workbench:
    return workbench("dockerfile")


def choose(bench: Workbench, path: str, switch: str = "true") -> None:
    bench.env.update({"BP_USER_MANAGED_DEPENDENCIES": switch, "BP_INTERPRETER_PATH": path})


def layers(bench: Workbench) -> list[str]:
    return [path.stem for path in bench.layers.glob("*.toml") if path.stem not in ("build", "launch")]


def launch_path(bench: Workbench) -> str:
    env = bench.layers / "interpreter" / "env.launch"
    assert (env / "PATH.delim").read_text() == ":"
    return (env / "PATH.prepend").read_text()


def test_a_dockerfile_makes_no_layers(bench: Workbench) -> None:
    assert bench.build().status == 0
    assert layers(bench) == []


@pytest.mark.parametrize("switch", ["1", "true", "Yes"])
def test_the_python_of_the_image_may_be_used_as_it_is(bench: Workbench, switch: str) -> None:
    bench.env["BP_USER_MANAGED_DEPENDENCIES"] = switch
    assert bench.build().status == 0
    assert layers(bench) == []


def test_an_interpreter_called_python_is_put_on_the_path(bench: Workbench) -> None:
    choose(bench, "/opt/venv/bin/python")
    run = bench.build()
    assert (run.status, run.stdout) == (0, "`python` is `/opt/venv/bin/python`, which the image has\n")
    assert bench.layer("interpreter").types == LayerTypes(launch=True)
    assert launch_path(bench) == "/opt/venv/bin"
    assert not (bench.layers / "interpreter" / "bin").exists()


def test_another_name_is_made_python_before_a_python_beside_it(bench: Workbench) -> None:
    choose(bench, "/usr/bin/python3.11")
    assert bench.build().status == 0
    assert launch_path(bench) == f"{bench.layers}/interpreter/bin:/usr/bin"


def test_python_is_the_interpreter_with_all_arguments_and_its_own_path(bench: Workbench, tmp_path: Path) -> None:
    directory = tmp_path / "it's a place"
    directory.mkdir()
    interpreter = directory / "python3"
    interpreter.write_text('#!/bin/sh\necho "$0|$1|$2"\n')
    interpreter.chmod(0o755)
    choose(bench, str(interpreter))
    assert bench.build().status == 0
    env = {"PATH": f"{launch_path(bench)}:{os.environ['PATH']}"}
    done = subprocess.run(["python", "a b", "*"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{interpreter}|a b|*\n"


def test_a_second_build_makes_the_same(bench: Workbench) -> None:
    choose(bench, "/usr/bin/python3")
    assert bench.build().status == 0
    bench.restore()
    choose(bench, "/opt/python")
    assert bench.build().status == 0
    assert launch_path(bench) == "/opt"
    assert not (bench.layers / "interpreter" / "bin").exists()


def test_a_path_without_the_switch_has_no_effect_and_says_so(bench: Workbench) -> None:
    choose(bench, "/usr/bin/python3", switch="")
    run = bench.build()
    assert (run.status, run.stdout) == (
        0,
        "notice: `BP_INTERPRETER_PATH` has no effect without `BP_USER_MANAGED_DEPENDENCIES=true`\n",
    )
    assert layers(bench) == []


@pytest.mark.parametrize(
    "path", ["python", "./python", "/", "/opt/", "/opt/../bin/python", "/a:b/python", "/a\x1b/python"]
)
def test_what_is_no_path_of_a_program_is_refused(bench: Workbench, path: str) -> None:
    choose(bench, path)
    run = bench.build()
    assert run.status == 1
    assert run.stderr.startswith("error: `BP_INTERPRETER_PATH` cannot be `")
    assert "hint: set it to the absolute path of a Python in the image" in run.stderr


def test_a_switch_that_means_nothing_is_refused(bench: Workbench) -> None:
    choose(bench, "", switch="maybe")
    run = bench.build()
    assert (run.status, run.stderr) == (
        1,
        "error: `BP_USER_MANAGED_DEPENDENCIES` cannot be `maybe`\nhint: set it to `true` or `false`\n",
    )
