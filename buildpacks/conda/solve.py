"""The solve: which packages of the channels satisfy the dependencies, by rattler, with strict channel priority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.client import Network
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.specification import Entry
from buildpacks.conda.targets import CondaTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRequest:
    """What is asked of the channels."""

    channels: tuple[str, ...]
    """As `check_channels` returns them, without `nodefaults`."""
    specs: tuple[Entry, ...]
    target: CondaTarget
    network: Network
    cache_dir: Path
    """The cache layer; repodata is kept in `repodata` there."""
    needs_pip: bool = False
    """The file has a `pip:` section: without pip in the channels there is no environment."""
    preferred: tuple[LockedPackage, ...] = ()
    """Chosen again where the dependencies allow: the packages of the last lock."""
    time_limit_s: float = 600.0


def solve_environment(request: SolveRequest, *, say: Callable[[str], None]) -> tuple[LockedPackage, ...]:
    """Return the packages of the environment, each after those that it depends on.

    Raises `UnsolvableEnvironment`, `UnreachableChannel`, `ForbiddenPackage`.
    """
    raise NotImplementedError
