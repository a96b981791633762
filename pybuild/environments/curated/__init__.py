"""Curated environments: a few that are known to build and to work together, for people to begin with.

Each is a directory here, with the file that says it. Registered, they are `curated-NAME`, and nobody else's.
"""

from __future__ import annotations

from pathlib import Path

from pybuild.environments.environment import Environment
from pybuild.environments.reading import read_environment
from pybuild.workspaces.tags import CURATED_PREFIX
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import Workspace

_DIRECTORY = Path(__file__).parent
# The Python of those that a file says no version for: the builder's own default may be one without security fixes
_FILES = {"requirements.txt": "3.12", "environment.yml": None}


def read_curated() -> tuple[Environment, ...]:
    """Return the curated environments of this pybuild, sorted by name."""
    found = sorted(path for name in _FILES for path in _DIRECTORY.glob(f"*/{name}"))
    return tuple(
        read_environment(f"{CURATED_PREFIX}{path.parent.name}", str(path), python_version=_FILES[path.name])
        for path in found
    )


def register_curated(workspace: Workspace) -> tuple[RegisteredVersion, ...]:
    """Return the versions of the curated environments, after all are in the workspace. Raises `CnbError`."""
    return tuple(workspace.register(env.name, env.definition().render(), curated=True) for env in read_curated())
