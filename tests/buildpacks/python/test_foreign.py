"""The interpreters of an image for an architecture that is not this machine's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.target import host_architecture
from tests.buildpacks.conftest import Workbench
from tests.buildpacks.python.interpreters import add_interpreters

Make = Callable[[str], Workbench]
FOREIGN = "arm64" if host_architecture() == "amd64" else "amd64"


@pytest.fixture
def bench(workbench: Make, tmp_path: Path) -> Workbench:
    made = workbench("python")
    made.env.update(PYBUILD_INTERPRETERS=str(tmp_path / "interpreters"), CNB_TARGET_ARCH=FOREIGN)
    add_interpreters(tmp_path / "interpreters", "3.10.13", "3.12.1", arch=host_architecture())
    add_interpreters(tmp_path / f"interpreters-{FOREIGN}", "3.10.14", "3.13.0", arch=FOREIGN)
    return made


def test_the_image_has_the_interpreter_of_its_architecture_and_the_build_one_of_its_own(bench: Workbench) -> None:
    run = bench.build()
    assert run.status == 0, run.stderr
    assert bench.layer("cpython").types == LayerTypes(launch=True)
    assert bench.layer("cpython").metadata["version"] == "3.10.14"
    assert f"Python 3.10.14 {FOREIGN}" in (bench.layers / "cpython" / "bin" / "python3").read_text()
    here = bench.layers / "cpython-build"
    assert bench.layer("cpython-build").types == LayerTypes(build=True, cache=True)
    assert bench.layer("cpython-build").metadata["version"] == "3.10.13"
    told = {path.name: path.read_text() for path in (here / "env.build").iterdir()}
    assert told == {
        "PYBUILD_TARGET_PYTHON.override": str(bench.layers / "cpython" / "bin" / "python3"),
        "PYBUILD_TARGET_PYTHON_VERSION.override": "3.10.14",
    }


def test_the_layer_of_the_last_image_is_used_again(bench: Workbench) -> None:
    bench.build()
    bench.restore()
    run = bench.build()
    assert run.stdout.count("Using cached Python") == 2
    assert not (bench.layers / "cpython").exists()
    assert (bench.layers / "cpython-build" / "bin" / "python3").exists()


def test_a_version_that_only_the_other_architecture_has_is_an_error(bench: Workbench) -> None:
    bench.env["BP_CPYTHON_VERSION"] = "3.13"
    run = bench.build()
    assert run.status == 1
    assert run.stderr.startswith(
        f"error: the builder has Python 3.13.0 for linux/{FOREIGN}, and none of that minor version for this machine\n"
        "  available here  3.12.1, 3.10.13\n"
    )


def test_a_builder_of_one_architecture_says_so(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / f"interpreters-{FOREIGN}").rename(tmp_path / "elsewhere")
    run = bench.build()
    assert run.status == 1
    assert run.stderr.startswith(f"error: the builder has no Python for linux/{FOREIGN}\n  looked in  {tmp_path}")


def test_an_archive_of_this_machine_does_not_stand_for_the_other(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / f"interpreters-{FOREIGN}" / "interpreters.json"
    entries = [{**entry, "arch": host_architecture()} for entry in json.loads(file.read_text())]
    file.write_text(json.dumps(entries))
    assert "the builder has no Python 3.10" in bench.build().stderr
