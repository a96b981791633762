"""An environment in a directory that people can edit: as Azure ML lays it out, so that what its SDK has saved is read as well.

environment.json        name, variables, base image, and whose the Python is (Azure ML: `azureml_environment.json`)
conda_dependencies.yml  channels and packages, as they were written
constraints.txt         what the packages of pip may not contradict
BaseDockerfile          the Dockerfile that everything stands on
poetry/, repository/    files of a Poetry project or a repository
"""

from __future__ import annotations

import json
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.toml import Table, write_atomically
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.context import CONSTRAINTS, write_files
from pybuild.environments.definition import PoetryPackages
from pybuild.environments.sections import ContainerRegistry
from pybuild.environments.texts import read_dockerfile, read_text, read_tree
from pybuild.errors import UsageError

_DESCRIPTION, _AZURE_DESCRIPTION = "environment.json", "azureml_environment.json"
_PACKAGES, _DOCKERFILE = "conda_dependencies.yml", "BaseDockerfile"
_POETRY, _REPOSITORY = "poetry", "repository"


def save_environment(env: EnvironmentContents, directory: Path, *, overwrite: bool) -> None:
    """Write the files of an environment; passwords are not among them.

    Raises:
        UsageError: the directory is there already, and `overwrite` is false; or it has files of other people under the names of these.
        ConfigurationError: a file that the environment names cannot be read.
    """
    python, docker = env.python, env.docker
    dependencies = python.conda_dependencies.standing_alone()
    dockerfile = None if docker.base_dockerfile is None else read_dockerfile(docker.base_dockerfile)
    try:
        directory.mkdir(parents=True, exist_ok=overwrite)
    except FileExistsError as err:
        hint = "name another one, or replace what it has: `overwrite=True`, of the command `--overwrite`"
        raise UsageError(f"`{directory}` is there already", hint) from err
    _remove_old(directory)
    dependencies.save(directory / _PACKAGES)
    if dockerfile is not None:
        write_atomically(directory / _DOCKERFILE, dockerfile.encode())
    if python.poetry is not None:
        write_files(python.poetry.files, directory / _POETRY)
    write_files(env.repository_files, directory / _REPOSITORY)
    values = {
        "name": env.name,
        "environmentVariables": dict(env.environment_variables),
        "repository": env.repository,
        "python": {
            "userManagedDependencies": python.user_managed_dependencies,
            "interpreterPath": python.interpreter_path,
            "installer": dependencies.installer,
            "version": python.version,
        },
        "docker": {"baseImage": docker.base_image, "baseImageRegistry": {"address": docker.registry.address}},
    }
    write_atomically(directory / _DESCRIPTION, f"{json.dumps(values, indent=4, ensure_ascii=False)}\n".encode())


def load_environment(env: EnvironmentContents, directory: Path) -> None:
    """Make `env`, which is new, what the files of a directory say. Raises `ConfigurationError`."""
    table = _read_description(directory)
    env.name = table.string("name")
    env.repository = table.optional_string("repository")
    variables = table.table("environmentVariables")
    env.environment_variables = {name: variables.optional_string(name) or "" for name in variables.values}
    python, docker = table.table("python"), table.table("docker")
    env.python.user_managed_dependencies = python.boolean("userManagedDependencies", default=False)
    env.python.interpreter_path = python.optional_string("interpreterPath") or env.python.interpreter_path
    env.python.version = python.optional_string("version")
    env.python.conda_dependencies = _read_packages(directory, python)
    if (directory / _POETRY).is_dir():
        env.python.poetry = PoetryPackages(files=read_tree(directory / _POETRY))
    if (directory / _REPOSITORY).is_dir():
        env.repository_files = read_tree(directory / _REPOSITORY)
    env.docker.base_image = docker.optional_string("baseImage")
    env.docker.base_image_registry = ContainerRegistry(docker.table("baseImageRegistry").optional_string("address"))
    if (directory / _DOCKERFILE).exists():
        env.docker.base_dockerfile = read_dockerfile(directory / _DOCKERFILE)


def _read_description(directory: Path) -> Table:
    for name in (_DESCRIPTION, _AZURE_DESCRIPTION):
        path = directory / name
        if path.exists():
            return parse_json(read_text(path), source=str(path))
    advice = "name a directory that `save_to_directory` has made"
    raise ConfigurationError(directory / _DESCRIPTION, "is not there", advice=advice)


def _read_packages(directory: Path, python: Table) -> CondaDependencies:
    path = directory / _PACKAGES
    if not path.exists():
        return CondaDependencies()
    return CondaDependencies.parse(read_text(path), path=path, needs_conda=python.optional_string("installer") != "pip")


def _remove_old(directory: Path) -> None:
    names = (_PACKAGES, CONSTRAINTS, _DOCKERFILE, _POETRY, _REPOSITORY)
    found = [name for name in names if (directory / name).exists()]
    if found and not any((directory / name).exists() for name in (_DESCRIPTION, _AZURE_DESCRIPTION)):
        shown = ", ".join(f"`{name}`" for name in found)
        hint = "name a directory of its own, or remove them"
        raise UsageError(f"`{directory}` has no environment that was saved, and {shown} would be replaced", hint)
    for name in (_DESCRIPTION, _AZURE_DESCRIPTION, _PACKAGES, CONSTRAINTS, _DOCKERFILE):
        (directory / name).unlink(missing_ok=True)
    for name in (_POETRY, _REPOSITORY):
        if (directory / name).is_dir():
            remove_tree(directory / name)
