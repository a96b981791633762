"""Locks that a repository carries: `conda-lock.yml`, `pixi.lock` and `@EXPLICIT` files, installed as they are, without a solve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.settings import Settings
from buildpacks.conda.specification import EnvironmentFile
from buildpacks.conda.targets import CondaTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryLock:
    """What a lock of the repository asks for on one platform."""

    name: str
    """The file, relative to the app directory."""
    packages: tuple[LockedPackage, ...]
    pip: tuple[str, ...]
    """Lines of a requirement file with hashes: all that pip has to install, nothing to resolve."""
    notices: tuple[str, ...] = ()


def find_repository_lock(app_dir: Path, settings: Settings) -> Path | None:
    """Return the lock that is used, or `None`. Raises `InvalidRepositoryLock` for one that is named and not there."""
    raise NotImplementedError


def read_repository_lock(
    path: Path, *, app_dir: Path, target: CondaTarget, environment: EnvironmentFile | None
) -> RepositoryLock:
    """Return what the lock says for `target`; with an environment file, checked to have all that the file asks for.

    Raises `InvalidRepositoryLock` with all problems at once: forbidden channels, a missing platform, dependencies that it lacks.
    """
    raise NotImplementedError
