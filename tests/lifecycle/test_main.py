"""The doors as a platform sees them: processes with flags, variables, files and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage, write_analyzed
from lifecycle.cnb.group import read_group
from lifecycle.cnb.order import write_order
from lifecycle.cnb.plan import read_resolved_plan
from lifecycle.cnb.target import Target
from lifecycle.detection import parse_detection
from tests.lifecycle.world import World, order

ROOT = Path(__file__).parents[2]


def run(world: World, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "CNB_PLATFORM_API": "0.15",
        "CNB_BUILDPACKS_DIR": str(world.buildpacks),
        "CNB_APP_DIR": str(world.app),
        "CNB_LAYERS_DIR": str(world.layers),
        "CNB_PLATFORM_DIR": str(world.root / "platform"),
        "CNB_REGISTRY_AUTH": '{"r": "Basic secret"}',
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "lifecycle", program, *arguments],
        env={name: value for name, value in env.items() if value},
        cwd=world.root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_detector_then_builder(world: World) -> None:
    world.add("a", detect="echo chatter", build='echo building; env > "$1/env.txt"')
    write_order(world.layers / "order.toml", order("a"))
    analyzed = Analyzed(
        run_image=AnalyzedRunImage(reference="r", image="i", target=Target(os="linux", arch="arm64", variant="v8"))
    )
    write_analyzed(world.layers / "analyzed.toml", analyzed)
    detected = run(world, "detector")
    assert (detected.returncode, detected.stderr) == (0, "")
    assert "chatter" not in detected.stdout
    assert str(read_group(world.layers / "group.toml").elements[0]) == "a@1.0.0"
    assert "optional" not in (world.layers / "group.toml").read_text()
    assert read_resolved_plan(world.layers / "plan.toml").entries == ()
    built = run(world, "builder")
    assert (built.returncode, built.stderr) == (0, "")
    assert "building" in built.stdout
    env = (world.layers / "a/env.txt").read_text()
    assert "CNB_TARGET_ARCH=arm64" in env
    assert "CNB_TARGET_ARCH_VARIANT=v8" in env
    assert "CNB_REGISTRY_AUTH" not in env
    assert "PYTHONPATH" not in env


@pytest.mark.parametrize("version", ["", "0.11", "0.16", "1.0", "x"])
def test_platform_api_is_checked_before_anything_else(world: World, version: str) -> None:
    result = run(world, "detector", "-no-such-flag", CNB_PLATFORM_API=version)
    assert result.returncode == 11
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("-nonsense",), 2), (("-app",), 2), (("-ap", "x"), 2), (("extra",), 3), (("-log-level", "loud"), 3)],
)
def test_wrong_arguments(world: World, arguments: tuple[str, ...], code: int) -> None:
    write_order(world.layers / "order.toml", order())
    result = run(world, "detector", *arguments)
    assert (result.returncode, result.stdout) == (code, "")


def test_flags_win_over_variables_and_layers_move_the_defaults(world: World) -> None:
    world.add("a", detect=f"pwd > {world.root}/cwd")
    write_order(world.write("elsewhere/order.toml"), order("a"))
    world.write("app2/file")
    elsewhere = world.root / "elsewhere"
    result = run(world, "detector", "--layers=elsewhere", "-app", "app2", "-no-color")
    assert result.returncode == 0
    assert (elsewhere / "group.toml").exists()
    assert (elsewhere / "plan.toml").exists()
    assert (world.root / "cwd").read_text() == f"{world.root}/app2\n"
    assert not (world.layers / "group.toml").exists()


def test_order_can_be_named(world: World) -> None:
    world.add("a")
    write_order(world.root / "own.toml", order("a"))
    assert run(world, "detector", CNB_ORDER_PATH="own.toml").returncode == 0


def test_nothing_detected(world: World) -> None:
    world.add("a", detect="echo looked; echo 'no file' >&2; exit 100")
    write_order(world.layers / "order.toml", order("a"))
    paths = {"PYBUILD_DETECTION_PATH": f"{world.root}/d.json", "PYBUILD_ERROR_PATH": f"{world.root}/e.json"}
    result = run(world, "detector", **paths)
    assert result.returncode == 20
    assert result.stderr == "", "whoever wants the error as a file shows it"
    assert "looked" in result.stdout
    detection = parse_detection((world.root / "d.json").read_text(), source="d.json")
    assert detection.group is None
    assert detection.reasons() == (("a", "no file"),)
    assert json.loads((world.root / "e.json").read_text()) == {
        "exit-code": 20,
        "code": "nothing-detected",
        "summary": f"no group of buildpacks fits {world.app}",
        "facts": [{"label": "a", "value": "no file"}],
        "hint": "add a file that one of these looks for, or build the directory that has it",
    }


def test_log_level_debug_shows_what_detect_wrote(world: World) -> None:
    world.add("a", detect="echo chatter")
    write_order(world.layers / "order.toml", order("a"))
    assert "chatter" in run(world, "detector", CNB_LOG_LEVEL="debug").stdout


def test_failed_buildpack(world: World) -> None:
    world.add("a", build="echo reason >&2; exit 3")
    write_order(world.layers / "order.toml", order("a"))
    assert run(world, "detector").returncode == 0
    result = run(world, "builder")
    assert result.returncode == 51
    assert "reason" in result.stdout
    assert result.stderr.startswith("error: buildpack `a` 1.0.0 could not build: `bin/build` exited with status 3\n")


def test_order_that_is_missing_or_broken(world: World) -> None:
    assert run(world, "detector", "-order", "gone.toml").returncode == 3
    world.write("broken.toml", "[[order]]\n[[order.group]]\nid = 3\n")
    result = run(world, "detector", "-order", "broken.toml")
    assert result.returncode == 3
    assert result.stderr == (
        f"error: {world.root}/broken.toml:3: `order[0].group[0].id` must be a string, got integer 3\n"
    )


def test_an_image_extension_that_is_not_there_is_named(world: World) -> None:
    world.write("order.toml", '[[order-extensions]]\n[[order-extensions.group]]\nid = "x"\nversion = "1"\n')
    result = run(world, "detector", "-order", "order.toml", CNB_EXTENSIONS_DIR=str(world.extensions))
    assert result.returncode == 3
    assert f"the order names extension `x@1`, which is not in {world.extensions}" in result.stderr


def test_system_buildpacks_come_from_a_file(world: World) -> None:
    world.add("a")
    world.add("s")
    write_order(world.layers / "order.toml", order("a"))
    world.write("system.toml", '[[system.pre.buildpacks]]\nid = "s"\nversion = "1.0.0"\n')
    assert run(world, "detector", "-system", "system.toml").stdout == "s 1.0.0\na 1.0.0\n"
    assert run(world, "detector", "-system", "system.toml", CNB_PLATFORM_API="0.14").stdout == "a 1.0.0\n"


def test_directory_that_cannot_be_written_is_one_error(world: World) -> None:
    world.add("a")
    write_order(world.layers / "order.toml", order("a"))
    result = run(world, "detector", "-group", f"{world.root}/gone/group.toml")
    assert result.returncode == 4
    assert "No such file or directory" in result.stderr
    assert "Traceback" not in result.stderr


def test_version(world: World) -> None:
    assert run(world, "builder", "-version").stdout == "0.1.0\n"


def test_nothing_detected_is_on_stderr_where_no_file_is_wanted(world: World) -> None:
    world.add("a", detect="echo looked; echo 'no file' >&2; exit 100")
    write_order(world.layers / "order.toml", order("a"))
    result = run(world, "detector")
    assert result.returncode == 20
    assert result.stderr.startswith(f"error: no group of buildpacks fits {world.app}\n  a  no file\nhint: ")
