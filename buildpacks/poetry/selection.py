"""Which groups and extras of a project are installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.utils import canonicalize_name

from buildpacks.installer.errors import InvalidSetting
from buildpacks.poetry.project import MAIN_GROUP, PoetryProject
from buildpacks.poetry.settings import ALL_EXTRAS, EXTRAS_VARIABLE, WITH_VARIABLE, WITHOUT_VARIABLE, Settings


def select_groups(project: PoetryProject, settings: Settings) -> tuple[str, ...]:
    """Return the groups to install, in the order of the file. Raises `InvalidSetting` for one that the project does not have.

    Only `main`, and those that `BP_POETRY_WITH` names. Where `BP_POETRY_WITHOUT` says what to leave out, the rest is what
    `poetry install` installs: all groups that are not optional.
    """
    names = _by_name(group.name for group in project.groups)
    added = _known(WITH_VARIABLE, settings.with_groups, names, "groups")
    left_out = _known(WITHOUT_VARIABLE, settings.without_groups, names, "groups")
    usual = {group.name for group in project.groups if not group.optional} if left_out else {MAIN_GROUP}
    wanted = (usual | added) - left_out
    return tuple(group.name for group in project.groups if group.name in wanted)


def select_extras(project: PoetryProject, settings: Settings) -> tuple[str, ...]:
    """Return the extras to install, in the order of the file. Raises `InvalidSetting` for one that the project does not have."""
    if ALL_EXTRAS in settings.extras:
        return project.extras
    names = _by_name(project.extras)
    wanted = _known(EXTRAS_VARIABLE, settings.extras, names, "extras")
    return tuple(extra for extra in project.extras if extra in wanted)


def _by_name(names: Iterable[str]) -> Mapping[str, str]:
    return {str(canonicalize_name(name)): name for name in names}


def _known(variable: str, asked: tuple[str, ...], names: Mapping[str, str], what: str) -> set[str]:
    found = set()
    for name in asked:
        known = names.get(canonicalize_name(name))
        if known is None:
            there = ", ".join(f"`{item}`" for item in names.values())
            allowed = f"{what} that pyproject.toml has: {there}" if there else f"nothing: pyproject.toml has no {what}"
            raise InvalidSetting(variable=variable, value=name, allowed=allowed)
        found.add(known)
    return found
