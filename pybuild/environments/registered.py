"""Environments in workspaces: how one is put there, and found again."""

from __future__ import annotations

from collections.abc import Iterator

from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.lint import define
from pybuild.workspaces.errors import InvalidName
from pybuild.workspaces.tags import check_name
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import Workspace


def register_environment(env: EnvironmentContents, workspace: Workspace) -> RegisteredVersion:
    """Return the version that `env` has, which it says of itself then.

    Raises:
        InvalidName, InvalidEnvironment, ConfigurationError: it cannot be registered, or be built, as it is.
        CnbError: the workspace does not take it.
    """
    check_name(env.name)
    registered = workspace.register(env.name, define(env).render())
    env.version = str(registered.version)
    return registered


def find_latest(workspace: Workspace) -> Iterator[RegisteredVersion]:
    """Yield the latest version of each environment that is not archived. Raises `CnbError`."""
    for summary in workspace.describe_all():
        if not summary.is_archived and summary.latest is not None:
            yield workspace.get(summary.name)


def parse_version(text: str) -> int:
    """Return the number of a version. Raises `InvalidName`."""
    if text.isascii() and text.isdigit() and 0 < int(text[:10]) < 10**9:
        return int(text)
    raise InvalidName(
        "version", text, "versions are 1, 2, 3, …", "write a number, or NAME@LABEL for a label such as `latest`"
    )
