from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle.cnb.errors import ConfigurationError
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import PoetryPackages
from pybuild.environments.environment import Environment
from pybuild.environments.sections import ContainerRegistry
from pybuild.errors import UsageError

FILE = "# ours\nchannels: [conda-forge]\ndependencies:\n  - python=3.12  # not newer\n  - pip:\n      - -r more.txt\n      - zed\n"


def make(tmp_path: Path) -> Environment:
    (tmp_path / "more.txt").write_text("-c limits.txt\nalpha\n")
    (tmp_path / "limits.txt").write_text("alpha<2\n")
    (tmp_path / "environment.yml").write_text(FILE)
    env = Environment.from_conda_specification("one", tmp_path / "environment.yml")
    env.environment_variables["A"] = "é"
    env.docker.base_dockerfile = "FROM debian:12\n"
    env.docker.base_image_registry = ContainerRegistry("registry.example.org", "me", "geheim")
    return env


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    env = make(tmp_path)
    env.save_to_directory(tmp_path / "saved")
    loaded = Environment.load_from_directory(str(tmp_path / "saved"))
    assert (loaded.name, loaded.version) == ("one", None)
    assert loaded.definition() == env.definition()
    text = (tmp_path / "saved" / "conda_dependencies.yml").read_text()
    assert "# ours" in text
    assert "python=3.12  # not newer" in text
    assert loaded.docker.registry.address == "registry.example.org"
    assert all("geheim" not in path.read_text() for path in (tmp_path / "saved").iterdir())


def test_files_are_edited_and_loaded(tmp_path: Path) -> None:
    make(tmp_path).save_to_directory(tmp_path / "saved")
    path = tmp_path / "saved" / "conda_dependencies.yml"
    path.write_text(path.read_text().replace("zed", "zed==2"))
    loaded = Environment.load_from_directory(tmp_path / "saved").python.conda_dependencies
    assert "zed==2" in loaded.pip_packages


def test_what_pip_installs_stays_pips(tmp_path: Path) -> None:
    env = Environment("one")
    env.python.conda_dependencies = CondaDependencies.create(pip_packages=["zed"])
    env.python.version = "3.12"
    env.save_to_directory(tmp_path / "saved")
    assert Environment.load_from_directory(tmp_path / "saved").definition() == env.definition()


def test_poetry_and_repositories_are_saved(tmp_path: Path) -> None:
    env = Environment("one")
    env.python.poetry = PoetryPackages(files={"pyproject.toml": "[tool.poetry]\n"})
    env.save_to_directory(tmp_path / "poetry")
    assert Environment.load_from_directory(tmp_path / "poetry").definition() == env.definition()
    (tmp_path / "repository" / "src").mkdir(parents=True)
    (tmp_path / "repository" / "src" / "x.py").write_text("1\n")
    env = Environment.from_repository("two", tmp_path / "repository")
    env.save_to_directory(tmp_path / "saved")
    assert Environment.load_from_directory(tmp_path / "saved").definition() == env.definition()


def test_a_directory_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    directory = tmp_path / "saved"
    make(tmp_path).save_to_directory(directory)
    with pytest.raises(UsageError, match="is there already"):
        Environment("two").save_to_directory(directory)
    Environment("two").save_to_directory(directory, overwrite=True)
    loaded = Environment.load_from_directory(directory)
    assert loaded.definition() == Environment("two").definition()


def test_nothing_of_others_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "mine.py").write_text("1\n")
    with pytest.raises(UsageError, match="`repository` would be replaced"):
        make(tmp_path).save_to_directory(tmp_path, overwrite=True)
    assert (tmp_path / "repository" / "mine.py").exists()
    assert not (tmp_path / "conda_dependencies.yml").exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_are_edited_on_windows(tmp_path: Path, encoding: str) -> None:
    directory = tmp_path / "saved"
    env = make(tmp_path)
    env.save_to_directory(directory)
    for name in ("environment.json", "conda_dependencies.yml", "BaseDockerfile"):
        text = (directory / name).read_text(encoding="utf-8")
        (directory / name).write_text(text.replace("\n", "\r\n"), encoding=encoding, newline="")
    assert Environment.load_from_directory(directory).definition() == env.definition()


def test_what_azure_ml_has_saved_is_loaded(tmp_path: Path) -> None:
    """As its SDK 1.5x writes it."""
    description = {
        "databricks": {"eggLibraries": [], "jarLibraries": []},
        "docker": {
            "arguments": [],
            "baseImage": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:20221101.v1",
            "baseImageRegistry": {"address": None, "password": None, "registryIdentity": None, "username": None},
            "enabled": False,
            "platform": {"architecture": "amd64", "os": "Linux"},
            "shmSize": None,
        },
        "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
        "inferencingStackVersion": None,
        "name": "myenv",
        "python": {"baseCondaEnvironment": None, "interpreterPath": "python", "userManagedDependencies": False},
        "r": None,
        "spark": {"packages": [], "precachePackages": True, "repositories": []},
        "version": "3",
    }
    (tmp_path / "azureml_environment.json").write_text(json.dumps(description))
    (tmp_path / "conda_dependencies.yml").write_text(
        "name: project_environment\ndependencies:\n- python=3.8.13\n- pip:\n  - azureml-defaults\nchannels:\n- conda-forge\n"
    )
    env = Environment.load_from_directory(tmp_path)
    assert (env.name, env.version) == ("myenv", None)
    definition = env.definition()
    assert definition.image == "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:20221101.v1"
    assert definition.variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}
    assert b"python=3.8.13" in definition.render()


def test_a_directory_that_has_no_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"environment.json: is not there"):
        Environment.load_from_directory(tmp_path)
