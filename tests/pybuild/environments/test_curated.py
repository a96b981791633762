"""The environments that pybuild brings."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pybuild.commands.env import env
from pybuild.environments.curated import read_curated, register_curated
from pybuild.environments.environment import Environment
from pybuild.environments.lint import find_problems
from pybuild.workspaces.errors import NameReserved
from pybuild.workspaces.workspace import Workspace


def test_nothing_is_to_be_said_against_them() -> None:
    curated = read_curated()
    assert [one.name for one in curated] == ["curated-conda-data-science", "curated-data-science", "curated-python"]
    assert [problem for one in curated for problem in find_problems(one)] == []
    # Another builder's default would make another environment.
    assert {one.python.version or one.python.conda_dependencies.conda_packages[0] for one in curated} == {
        "3.12",
        "python=3.12",
    }


def test_they_are_registered_like_others_by_nobody_else(tmp_path: Path) -> None:
    workspace = Workspace(f"oci:{tmp_path / 'workspace'}", env={})
    first = register_curated(workspace)
    assert [one.version for one in first] == [1, 1, 1]
    assert all(one.is_new for one in first)
    assert not any(one.is_new for one in register_curated(workspace))
    found = Environment.get(workspace, "curated-data-science")
    assert set(Environment.list(workspace)) == {one.name for one in first}
    found.environment_variables["MODE"] = "fast"
    with pytest.raises(NameReserved) as caught:
        found.register(workspace)
    assert 'clone("data-science")' in caught.value.hint
    assert found.clone("data-science").register(workspace).version == "1"


def test_the_command_registers_them(tmp_path: Path) -> None:
    result = CliRunner().invoke(env, ["curated", "--workspace", f"oci:{tmp_path}"], catch_exceptions=False)
    assert result.stdout.splitlines() == [f"{one.name}:1" for one in read_curated()]
