"""Several processes register environments in one workspace of a real registry, and one of them is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybuild.workspaces.tags import parse_tags
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import Workspace
from tests.integration.registry import Registry, start_registry

pytestmark = pytest.mark.integration

# Registers each definition, and prints the version that it got as soon as it has it.
PROGRAM = """
import sys
from pybuild.workspaces.workspace import Workspace
location, name, *definitions = sys.argv[1:]
with Workspace(location) as workspace:
    for definition in definitions:
        found = workspace.register(name, definition.encode())
        print(definition, found.version, flush=True)
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with start_registry(tmp_path / "registry") as running:
        yield running


def location_in(registry: Registry) -> str:
    return f"docker://{registry.host}/team/environments"


def start(location: str, definitions: list[str], name: str = "Analysis") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, location, name, *definitions]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)


def given(process: subprocess.Popen[str]) -> dict[str, int]:
    """Which version each definition got."""
    output, _ = process.communicate(timeout=300)
    return {
        definition: int(version) for definition, _, version in (line.partition(" ") for line in output.splitlines())
    }


def versions_in(location: str) -> dict[str, int]:
    """Definitions of all versions, which are without gap and without doubles."""
    with Workspace(location) as workspace:
        highest = parse_tags(workspace.repository("analysis").tags()).highest
        found = [workspace.get("analysis", version=number) for number in range(1, highest + 1)]
        assert {one.name for one in found} == {workspace.describe("ANALYSIS").name}, "it has several names"
        assert [name.lower() for name in workspace.names()] == ["analysis"]
    by_definition = {one.definition.decode(): one.version for one in found}
    assert len(by_definition) == highest, "a definition has two versions"
    return by_definition


def test_two_processes_give_fifty_versions_each(registry: Registry) -> None:
    location = location_in(registry)
    own = [[f"{process}-{number}" for number in range(40)] for process in "ab"]
    shared = [f"shared-{number}" for number in range(10)]
    # Both come to what they share at about the same time; one name is written in two ways.
    names = ("Analysis", "analysis")
    processes = [
        start(location, [*some[:20], *shared, *some[20:]], name) for some, name in zip(own, names, strict=True)
    ]
    results = [given(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(result) for result in results] == [50, 50]
    found = versions_in(location)
    assert sorted(found.values()) == list(range(1, 91))
    assert set(found) == {*own[0], *own[1], *shared}
    for result in results:
        assert result.items() <= found.items()


def test_others_go_on_when_a_process_is_killed(registry: Registry) -> None:
    location = location_in(registry)
    killed = [start(location, [f"killed-{process}-{number}" for number in range(200)]) for process in range(3)]
    other = start(location, [f"other-{number}" for number in range(30)])
    promised: dict[str, int] = {}
    for number, process in enumerate(killed):
        time.sleep(0.7 + number * 0.31)
        process.kill()
        promised |= given(process)
    result = given(other)
    assert other.returncode == 0
    assert len(result) == 30
    found = versions_in(location)
    assert promised.items() | result.items() <= found.items()
    # What was on its way when its process was killed is there, or is not, but nothing else is.
    assert len(found) <= len(promised) + len(result) + len(killed)


def test_oras_reads_a_version(registry: Registry, tmp_path: Path) -> None:
    from oras.client import OrasClient

    with Workspace(location_in(registry)) as workspace:
        version: RegisteredVersion = workspace.register("analysis", json.dumps({"pip": ["alpha"]}).encode())
        workspace.set_label("analysis", "stable", version.version)
    client = OrasClient(insecure=True)
    for tag in ("1", "stable"):
        (path,) = client.pull(target=f"{registry.host}/team/environments/analysis:{tag}", outdir=str(tmp_path / tag))
        assert Path(path).name == "environment.json"
        assert Path(path).read_bytes() == version.definition
