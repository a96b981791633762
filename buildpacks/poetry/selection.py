"""Which groups and extras of a project are installed."""

from __future__ import annotations

from buildpacks.poetry.project import PoetryProject
from buildpacks.poetry.settings import Settings


def select_groups(project: PoetryProject, settings: Settings) -> tuple[str, ...]:
    """Return the groups to install, in the order of the file. Raises `InvalidSetting` for one that the project does not have.

    Only `main`, and those that `BP_POETRY_WITH` names. Where `BP_POETRY_WITHOUT` says what to leave out, the rest is what
    `poetry install` installs: all groups that are not optional.
    """
    raise NotImplementedError


def select_extras(project: PoetryProject, settings: Settings) -> tuple[str, ...]:
    """Return the extras to install, in the order of the file. Raises `InvalidSetting` for one that the project does not have."""
    raise NotImplementedError
