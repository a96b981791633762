from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import read_toml
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.context import needs_trust
from pybuild.environments.definition import Definition, PipPackages
from pybuild.environments.environment import Environment
from pybuild.project.descriptor import Project, find_project


def written(env: Environment, directory: Path) -> tuple[dict[str, str], Project]:
    """The files of the context but project.toml, and what that says."""
    env.write_context(directory)
    project = find_project(directory)
    assert project is not None
    paths = [path for path in directory.rglob("*") if path.is_file() and path.name != "project.toml"]
    return {str(path.relative_to(directory)): path.read_text() for path in paths}, project


def ids(project: Project) -> list[str]:
    return [str(one.id) for one in project.group]


def test_requirements_become_a_file_for_pip(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-c limits.txt\nzed\nalpha>=1\n")
    (tmp_path / "limits.txt").write_text("zed<3\n")
    env = Environment.from_pip_requirements("one", tmp_path / "requirements.txt", python_version="3.12")
    files, project = written(env, tmp_path / "context")
    assert files == {
        "requirements.txt": "alpha>=1\nzed\n-c constraints.txt\n",
        "constraints.txt": "zed<3\n",
        ".python-version": "3.12\n",
    }
    assert ids(project) == ["pybuild/pip"]


def test_conda_packages_become_a_file_for_conda(tmp_path: Path) -> None:
    env = Environment("one")
    env.python.conda_dependencies = CondaDependencies.create(
        conda_packages=["numpy", "conda-forge::python"], pip_packages=["zed @ https://example.org/zed.zip#a: b"]
    )
    files, project = written(env, tmp_path / "context")
    assert ids(project) == ["pybuild/conda"]
    read = CondaDependencies.parse(files["environment.yml"])
    assert read.packages() == env.definition().packages
    assert list(files) == ["environment.yml"]


def test_packages_go_on_the_base_image(tmp_path: Path) -> None:
    env = Environment("one")
    env.docker.base_image = "team/base:1"
    env.docker.base_image_registry = "registry.example.org"
    env.python.conda_dependencies.add_pip_package("zed")
    files, project = written(env, tmp_path / "context")
    assert files == {"Dockerfile": "FROM registry.example.org/team/base:1\n", "requirements.txt": "zed\n"}
    assert ids(project) == ["pybuild/dockerfile", "pybuild/pip"]


def test_a_dockerfile_alone_is_the_whole_image(tmp_path: Path) -> None:
    env = Environment("one")
    env.docker.base_dockerfile = "FROM debian:12"
    files, project = written(env, tmp_path / "context")
    assert files == {"Dockerfile": "FROM debian:12\n"}
    assert ids(project) == ["pybuild/dockerfile"]
    assert project.env() == {}


def test_the_python_of_the_image_is_used(tmp_path: Path) -> None:
    env = Environment.from_dockerfile("one", "FROM debian:12")
    env.python.interpreter_path = "/opt/venv/bin/python"
    _, project = written(env, tmp_path / "context")
    assert ids(project) == ["pybuild/dockerfile"]
    assert project.env() == {"BP_USER_MANAGED_DEPENDENCIES": "true", "BP_INTERPRETER_PATH": "/opt/venv/bin/python"}


HARD = {"PLAIN": "1", "HARD": """a "b" 'c' $HOME `d` \\ é {e}""", "EMPTY": ""}


def test_variables_are_said_by_a_dockerfile(tmp_path: Path) -> None:
    env = Environment.from_dockerfile("one", "FROM debian:12")
    env.environment_variables = HARD
    files, project = written(env, tmp_path / "context")
    assert files["Dockerfile"].splitlines()[1:] == [
        'ENV EMPTY=""',
        r"""ENV HARD="a \"b\" 'c' \$HOME `d` \\ é {e}" """.strip(),
        'ENV PLAIN="1"',
    ]
    assert ids(project) == ["pybuild/dockerfile"]
    env.docker.base_dockerfile = "# escape=`\nFROM debian:12\n"
    assert (
        """ENV HARD="a `"b`" 'c' `$HOME ``d`` \\ é {e}" """.strip() in written(env, tmp_path / "other")[0]["Dockerfile"]
    )


def test_variables_are_a_layer_where_there_is_no_dockerfile(tmp_path: Path) -> None:
    env = Environment("one")
    env.environment_variables = HARD
    _, project = written(env, tmp_path / "context")
    assert ids(project) == ["pybuild/pip", "environment/variables"]
    script = project.group[-1].script
    assert script is not None
    layers = tmp_path / "layers"
    layers.mkdir()
    subprocess.run([script.shell, "-c", script.inline], env={"CNB_LAYERS_DIR": str(layers)}, check=True)
    found = {path.name: path.read_text() for path in (layers / "variables" / "env.launch").iterdir()}
    assert found == {f"{name}.default": value for name, value in HARD.items()}
    assert read_toml(layers / "variables.toml") == {"types": {"launch": True}}


def test_only_a_script_needs_trust() -> None:
    assert needs_trust(Definition(packages=PipPackages(requirements=()), variables={"A": "1"}))
    assert not needs_trust(Definition(packages=PipPackages(requirements=())))
    assert not needs_trust(Definition(image="docker.io/library/debian:12", variables={"A": "1"}))


def test_equal_environments_have_equal_contexts(tmp_path: Path) -> None:
    contents = []
    for number, packages in enumerate((["a", "b"], ["b", "a"])):
        env = Environment(f"number-{number}")
        env.python.conda_dependencies = CondaDependencies.create(conda_packages=packages)
        directory = tmp_path / str(number)
        env.write_context(directory)
        contents.append({path.name: path.read_bytes() for path in directory.iterdir()})
    assert contents[0] == contents[1]


def test_a_repository_elsewhere_is_its_own_context(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="is that of a repository"):
        Environment.from_repository("one", "https://git.example.org/team/x#v1").write_context(tmp_path / "context")
