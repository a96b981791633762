"""The variables that steer the buildpack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from buildpacks.pip.errors import InvalidSetting

Installer = Literal["uv", "pip"]
DEFAULT_FILE = "requirements.txt"
FILES_VARIABLE = "BP_PIP_REQUIREMENT"
CONSTRAINTS_VARIABLE = "BP_PIP_CONSTRAINTS"
INSTALLER_VARIABLE = "BP_PIP_INSTALLER"
REFRESH_VARIABLE = "BP_REFRESH"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user and the operator chose."""

    files: tuple[str, ...]
    """Requirement files, relative to the app directory; never empty."""
    constraints: tuple[str, ...]
    """Files or URLs that constrain every installation."""
    installer: Installer
    refresh: bool
    """Resolve anew, although nothing has changed."""


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings. Raises `InvalidSetting`."""
    installer = env.get(INSTALLER_VARIABLE, "").strip().lower() or "uv"
    refresh = env.get(REFRESH_VARIABLE, "").strip().lower()
    if refresh not in _TRUE | _FALSE:
        raise InvalidSetting(variable=REFRESH_VARIABLE, value=refresh, allowed="`1` or `0`")
    if installer not in ("uv", "pip"):
        raise InvalidSetting(variable=INSTALLER_VARIABLE, value=installer, allowed="`uv` or `pip`")
    return Settings(
        files=read_file_names(env),
        constraints=tuple(env.get(CONSTRAINTS_VARIABLE, "").split()),
        installer="pip" if installer == "pip" else "uv",
        refresh=refresh in _TRUE,
    )


def read_file_names(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the requirement files that are looked for."""
    return tuple(env.get(FILES_VARIABLE, "").split()) or (DEFAULT_FILE,)
