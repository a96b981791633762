"""The variables that steer the buildpack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from buildpacks.installer.errors import InvalidSetting

Installer = Literal["uv", "poetry"]
VERSION_VARIABLE = "BP_POETRY_VERSION"
WITH_VARIABLE = "BP_POETRY_WITH"
WITHOUT_VARIABLE = "BP_POETRY_WITHOUT"
EXTRAS_VARIABLE = "BP_POETRY_EXTRAS"
RELOCK_VARIABLE = "BP_POETRY_RELOCK"
INSTALLER_VARIABLE = "BP_POETRY_INSTALLER"
REFRESH_VARIABLE = "BP_REFRESH"
CONSTRAINTS_VARIABLE = "BP_PIP_CONSTRAINTS"
# Another directory of the packages of Poetry 1.8.3 than the builder's. For tests and for developers.
DIRECTORY_VARIABLE = "PYBUILD_POETRY"
DEFAULT_DIRECTORY = Path("/opt/pybuild/poetry")
DEFAULT_VERSION = "1.8.3"
# In `BP_POETRY_EXTRAS`: all of them. It cannot be the name of one, as `all` can.
ALL_EXTRAS = "*"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,2}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryVersion:
    """The Poetry that is asked for: `1.8.3`, or the newest of `2.1` or `2`."""

    text: str

    @property
    def is_exact(self) -> bool:
        """Whether only one release will do."""
        return self.text.count(".") == 2

    @property
    def is_default(self) -> bool:
        """Whether it is the one that the builder has."""
        return self.text == DEFAULT_VERSION

    @property
    def major(self) -> int:
        """2 is where `[project]` is read."""
        return int(self.text.partition(".")[0])

    @property
    def specifier(self) -> str:
        """The releases that will do, as PEP 440 writes it."""
        return f"=={self.text}" if self.is_exact else f"=={self.text}.*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user and the operator chose. Names of groups and extras are as they were written, without repetitions."""

    version: PoetryVersion
    with_groups: tuple[str, ...]
    without_groups: tuple[str, ...]
    extras: tuple[str, ...]
    """`ALL_EXTRAS` may be among them."""
    relock: bool
    """Make a lock that does not belong to pyproject.toml any more anew."""
    installer: Installer
    refresh: bool
    """Ask Poetry and the index anew, although nothing has changed."""
    constraints: tuple[str, ...]
    """Of `BP_PIP_CONSTRAINTS`: not applied, because a lock is a lock."""


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings. Raises `InvalidSetting`."""
    return Settings(
        version=_read_version(env),
        with_groups=_read_names(env, WITH_VARIABLE),
        without_groups=_read_names(env, WITHOUT_VARIABLE),
        extras=_read_names(env, EXTRAS_VARIABLE),
        relock=_read_switch(env, RELOCK_VARIABLE),
        installer=_read_installer(env),
        refresh=_read_switch(env, REFRESH_VARIABLE),
        constraints=tuple(env.get(CONSTRAINTS_VARIABLE, "").split()),
    )


def tool_directory(env: Mapping[str, str], version: str = DEFAULT_VERSION) -> Path:
    """Return the directory of packages that has this version of Poetry in the builder; it need not exist."""
    named = env.get(DIRECTORY_VARIABLE) if version == DEFAULT_VERSION else None
    return Path(named) if named else DEFAULT_DIRECTORY / version


def _read_version(env: Mapping[str, str]) -> PoetryVersion:
    value = env.get(VERSION_VARIABLE, "").strip()
    text = value.removesuffix(".x").removesuffix(".*") or DEFAULT_VERSION
    if not _VERSION.fullmatch(text):
        allowed = f"a version of Poetry such as `{DEFAULT_VERSION}`, or `2.1` for the newest of those"
        raise InvalidSetting(variable=VERSION_VARIABLE, value=value, allowed=allowed)
    return PoetryVersion(text=text)


def _read_names(env: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """Names between spaces or commas: Poetry's own options take commas, and people write both."""
    names = tuple(dict.fromkeys(name for name in re.split(r"[\s,]+", env.get(variable, "")) if name))
    for name in names:
        is_all = variable == EXTRAS_VARIABLE and name == ALL_EXTRAS
        if not (is_all or _NAME.fullmatch(name)):
            raise InvalidSetting(variable=variable, value=name, allowed="names, separated by commas or spaces")
    return names


def _read_switch(env: Mapping[str, str], variable: str) -> bool:
    value = env.get(variable, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise InvalidSetting(variable=variable, value=value, allowed="`1` or `0`")
    return value in _TRUE


def _read_installer(env: Mapping[str, str]) -> Installer:
    value = env.get(INSTALLER_VARIABLE, "").strip().lower() or "uv"
    if value not in ("uv", "poetry"):
        raise InvalidSetting(variable=INSTALLER_VARIABLE, value=value, allowed="`uv` or `poetry`")
    return "poetry" if value == "poetry" else "uv"
