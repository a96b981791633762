"""Environments in a workspace that is a directory, by the library and by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lifecycle.cnb.errors import CnbError
from pybuild.commands.env import env
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.environment import Environment
from pybuild.environments.registered import parse_version
from pybuild.errors import UsageError
from pybuild.workspaces.errors import InvalidName, NoSuchEnvironment, NotBuilt
from pybuild.workspaces.workspace import Workspace


@pytest.fixture
def location(tmp_path: Path) -> str:
    return f"oci:{tmp_path / 'workspace'}"


@pytest.fixture
def workspace(location: str) -> Workspace:
    return Workspace(location, env={})


def of_packages(name: str, *packages: str) -> Environment:
    made = Environment(name)
    made.python.conda_dependencies = CondaDependencies.create(pip_packages=[*packages])
    return made


def test_an_environment_comes_back_as_it_was_registered(workspace: Workspace) -> None:
    given = of_packages("AzureML-Minimal", "numpy", "pandas==2.0")
    given.environment_variables["MODE"] = "fast"
    assert given.register(workspace).version == "1"
    found = Environment.get(workspace, "azureml-minimal")
    assert (found.name, found.version) == ("AzureML-Minimal", "1")
    assert found.definition() == given.definition()
    # What is taken out, changed and registered again is another version; what is only spelled otherwise is not.
    found.environment_variables["MODE"] = "slow"
    assert found.register(workspace).version == "2"
    assert of_packages("AzureML-minimal", "pandas == 2.0", "numpy").register(workspace).version == "3"
    again = of_packages("azureml-minimal", "pandas==2.0", "numpy")
    again.environment_variables["MODE"] = "fast"
    assert again.register(workspace).version == "1"
    assert Environment.get(workspace, name="AzureML-Minimal", version="2").environment_variables == {"MODE": "slow"}


def test_a_list_has_the_latest_of_what_is_not_archived(workspace: Workspace) -> None:
    for name, package in (("a", "one"), ("a", "two"), ("b", "one"), ("c", "one")):
        of_packages(name, package).register(workspace)
    of_packages("B", "one").register(workspace)
    workspace.archive("b")
    workspace.archive("a", 2)
    assert {name: found.version for name, found in Environment.list(workspace).items()} == {"a": "1", "c": "1"}


def test_what_was_not_built_has_no_image(workspace: Workspace) -> None:
    with pytest.raises(NotBuilt, match="has not been built"):
        of_packages("a", "one").register(workspace).get_image_details(workspace)


@pytest.mark.parametrize("text", ["0", "-1", "latest", "1.0", "", "9" * 12])
def test_a_version_is_a_number(text: str) -> None:
    with pytest.raises(InvalidName, match="1, 2, 3"):
        parse_version(text)


def run(location: str, *arguments: str) -> Result:
    result = CliRunner().invoke(env, [*arguments, "--workspace", location], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_nothing_is_registered_where_a_label_cannot_be_one(location: str, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==1.0\n")
    arguments = ["register", "analysis", str(tmp_path / "requirements.txt"), "--label", "latest", "-w", location]
    assert isinstance(CliRunner().invoke(env, arguments).exception, InvalidName)
    assert workspace.names() == ()


def test_the_command_goes_through_the_life_of_an_environment(location: str, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy==1.0\n")
    assert run(location, "register", "Analysis", str(requirements), "--label", "stable").stdout == "Analysis:1\n"
    requirements.write_text("numpy==2.0\nflask==3.0\n")
    # A name keeps its case, and is found in every other.
    assert run(location, "register", "analysis", str(requirements)).stdout == "Analysis:2\n"
    assert [line.split() for line in run(location, "list").stdout.splitlines()] == [
        ["NAME", "LATEST", "VERSIONS"],
        ["Analysis", "2", "2"],
    ]
    shown = [line.split()[::2] for line in run(location, "show", "analysis").stdout.splitlines()]
    assert shown == [["VERSION", "LABELS"], ["1", "stable"], ["2", "latest"]]
    assert json.loads(run(location, "show", "analysis@stable", "--json").stdout)["version"] == 1
    assert run(location, "diff", "analysis:1", "analysis").stdout.splitlines() == [
        "pip packages:",
        "  - numpy==1.0",
        "  + flask==3.0",
        "  + numpy==2.0",
    ]
    run(location, "label", "analysis:2", "stable")
    run(location, "archive", "analysis:2")
    assert json.loads(run(location, "show", "analysis", "--json").stdout)["latest"] == 1
    exported = tmp_path / "exported"
    assert run(location, "export", "analysis@stable", str(exported)).stdout == f"{exported}\n"
    run(location, "restore", "analysis:2")
    # What was exported is taken again, and says the same.
    assert run(location, "register", "analysis", str(exported)).stdout == "Analysis:2\n"
    run(location, "archive", "analysis")
    assert run(location, "list").stdout.splitlines() == ["NAME  LATEST  VERSIONS"]
    assert "archived" in run(location, "list", "--all").stdout


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("show", "other"), NoSuchEnvironment, "pybuild env list"),
        (("show", "analysis:two"), InvalidName, "NAME@LABEL"),
        (("register", "My Analysis", "requirements.txt"), InvalidName, "My-Analysis"),
        (("register", "analysis", "notes.doc"), UsageError, "requirements file"),
        (("register", "analysis", "environment.yml", "--python-version", "3.12"), UsageError, "in the file"),
        (("archive", "analysis@latest"), UsageError, "NAME:VERSION"),
        (("show", "analysis", "--image"), NotBuilt, "pybuild env build analysis:1"),
    ],
)
def test_errors_say_what_to_write(
    location: str, workspace: Workspace, tmp_path: Path, arguments: tuple[str, ...], error: type[CnbError], hint: str
) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==1.0\n")
    (tmp_path / "environment.yml").write_text("channels: [conda-forge, nodefaults]\ndependencies: [python=3.12]\n")
    of_packages("analysis", "one").register(workspace)
    command = [str(tmp_path / one) if "." in one and "3" not in one else one for one in arguments]
    with pytest.raises(error) as caught:
        run(location, *command)
    assert hint in (caught.value.hint or "")
