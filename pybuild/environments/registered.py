"""Environments in workspaces: how one is put there, and found again."""

from __future__ import annotations

from pybuild.environments.definition import Definition
from pybuild.environments.environment import Environment
from pybuild.workspaces.errors import InvalidName
from pybuild.workspaces.tags import check_name
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import Workspace


def register_environment(env: Environment, workspace: Workspace) -> RegisteredVersion:
    """Return the version that `env` has, which it says of itself then.

    Raises:
        InvalidName, InvalidEnvironment, ConfigurationError: it cannot be registered, or be built, as it is.
        CnbError: the workspace does not take it.
    """
    check_name(env.name)
    registered = workspace.register(env.name, env.definition().render())
    env.version = str(registered.version)
    return registered


def find_environment(
    workspace: Workspace, name: str, *, version: int | str | None = None, label: str | None = None
) -> Environment:
    """Return an environment as it was registered. Raises `NoSuchEnvironment`, `InvalidName`, `CnbError`."""
    number = None if version is None else parse_version(str(version))
    return restore_environment(workspace.get(name, version=number, label=label))


def list_environments(workspace: Workspace) -> dict[str, Environment]:
    """Return the latest version of each environment that is not archived, by its name. Raises `CnbError`."""
    found = {}
    for name in workspace.names():
        summary = workspace.describe(name)
        if not summary.is_archived and summary.latest is not None:
            found[name] = find_environment(workspace, name, version=summary.latest)
    return found


def restore_environment(registered: RegisteredVersion) -> Environment:
    """Return the environment of a version. Raises `ConfigurationError` where a newer pybuild wrote it."""
    env = Environment.from_definition(registered.name, Definition.parse(registered.definition))
    env.version = str(registered.version)
    return env


def parse_version(text: str) -> int:
    """Return the number of a version. Raises `InvalidName`."""
    if text.isascii() and text.isdigit() and 0 < int(text[:10]) < 10**9:
        return int(text)
    raise InvalidName(
        "version", text, "versions are 1, 2, 3, …", "write a number, or NAME@LABEL for a label such as `latest`"
    )
