"""The variables that steer the installer, whichever buildpack it works for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from buildpacks.installer.errors import InvalidSetting

Installer = Literal["uv", "pip"]
CONSTRAINTS_VARIABLE = "BP_PIP_CONSTRAINTS"
INSTALLER_VARIABLE = "BP_PIP_INSTALLER"
REFRESH_VARIABLE = "BP_REFRESH"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user and the operator chose."""

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
        constraints=tuple(env.get(CONSTRAINTS_VARIABLE, "").split()),
        installer="pip" if installer == "pip" else "uv",
        refresh=refresh in _TRUE,
    )
