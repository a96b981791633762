"""The variables that steer the buildpack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from buildpacks.installer.errors import InvalidSetting
from buildpacks.installer.settings import Installer
from buildpacks.installer.settings import read_settings as read_installer_settings

Nodefaults = Literal["enforce", "inject", "rewrite"]
ENVIRONMENT_VARIABLE = "BP_CONDA_ENVIRONMENT"
NODEFAULTS_VARIABLE = "BP_CONDA_NODEFAULTS"
CHANNEL_ALIAS_VARIABLE = "BP_CONDA_CHANNEL_ALIAS"
MIRRORS_VARIABLE = "BP_CONDA_MIRRORS"
OVERRIDE_CUDA_VARIABLE = "BP_CONDA_OVERRIDE_CUDA"
OVERRIDE_GLIBC_VARIABLE = "BP_CONDA_OVERRIDE_GLIBC"
LOCK_VARIABLE = "BP_CONDA_LOCK"
# rattler's own: https://rattler.prefix.dev, "rattler_networking"
AUTH_FILE_VARIABLE = "RATTLER_AUTH_FILE"
# What conda, mamba and rattler put before a channel that is a bare name.
DEFAULT_CHANNEL_ALIAS = "https://conda.anaconda.org"
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
_SCHEMES = ("https", "http", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Where the files below a URL are fetched instead. No URL ends with a slash; all may hold credentials: mask them."""

    source: str
    targets: tuple[str, ...]
    """In the order in which they are tried; not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user and the operator chose."""

    environment_file: str | None
    """The file that is named, relative to the app directory; `None`: the usual names."""
    nodefaults: Nodefaults
    channel_alias: str
    """A URL without a slash at its end; may hold credentials."""
    mirrors: tuple[Mirror, ...]
    """In the order in which their sources were named first."""
    override_cuda: str | None
    """The version of CUDA's driver interface that `__cuda` promises; `None`: no `__cuda`."""
    override_glibc: str | None
    """The version that `__glibc` promises; `None`: that of the run image."""
    use_lock: bool
    """Whether a lock of the repository is looked for."""
    lock_file: str | None
    """The lock that is named, relative to the app directory; `None`: the usual names."""
    auth_file: Path | None
    """rattler's file of credentials."""
    constraints: tuple[str, ...]
    """Files or URLs that constrain every installation of the `pip:` section."""
    installer: Installer
    refresh: bool
    """Solve and resolve anew, although nothing has changed."""


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings. Raises `InvalidSetting`."""
    pip = read_installer_settings(env)
    lock = _value(env, LOCK_VARIABLE) or "auto"
    auth_file = _value(env, AUTH_FILE_VARIABLE)
    return Settings(
        environment_file=_value(env, ENVIRONMENT_VARIABLE),
        nodefaults=_read_nodefaults(env),
        channel_alias=_read_url(CHANNEL_ALIAS_VARIABLE, _value(env, CHANNEL_ALIAS_VARIABLE) or DEFAULT_CHANNEL_ALIAS),
        mirrors=_read_mirrors(env),
        override_cuda=_read_version(env, OVERRIDE_CUDA_VARIABLE),
        override_glibc=_read_version(env, OVERRIDE_GLIBC_VARIABLE),
        use_lock=lock != "none",
        lock_file=None if lock in ("auto", "none") else lock,
        auth_file=None if auth_file is None else Path(auth_file),
        constraints=pip.constraints,
        installer=pip.installer,
        refresh=pip.refresh,
    )


def _value(env: Mapping[str, str], variable: str) -> str | None:
    return env.get(variable, "").strip() or None


def _read_nodefaults(env: Mapping[str, str]) -> Nodefaults:
    value = (_value(env, NODEFAULTS_VARIABLE) or "enforce").lower()
    for mode in get_args(Nodefaults):
        if value == mode:
            chosen: Nodefaults = mode
            return chosen
    raise InvalidSetting(variable=NODEFAULTS_VARIABLE, value=value, allowed="`enforce`, `inject` or `rewrite`")


def _read_mirrors(env: Mapping[str, str]) -> tuple[Mirror, ...]:
    targets: dict[str, list[str]] = {}
    for pair in env.get(MIRRORS_VARIABLE, "").split():
        # A query may hold `=`; a channel's URL has none, so the first one that a URL follows is the border.
        source, border, target = pair.partition("=")
        if not border:
            allowed = "pairs `FROM=TO` of URLs, separated by spaces"
            raise InvalidSetting(variable=MIRRORS_VARIABLE, value=_shown(pair), allowed=allowed)
        targets.setdefault(_read_url(MIRRORS_VARIABLE, source), []).append(_read_url(MIRRORS_VARIABLE, target))
    return tuple(Mirror(source=source, targets=tuple(found)) for source, found in targets.items())


def _read_version(env: Mapping[str, str], variable: str) -> str | None:
    value = _value(env, variable)
    if value is not None and not _VERSION.fullmatch(value):
        raise InvalidSetting(variable=variable, value=value, allowed="a version such as `12.4`")
    return value


def _read_url(variable: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname or (parts.scheme == "file" and parts.path))
    except ValueError:  # a bracket in the host that is not closed
        usable = False
    if not usable:
        raise InvalidSetting(
            variable=variable, value=_shown(value), allowed="an `https://`, `http://` or `file://` URL"
        )
    return value.rstrip("/")


def _shown(value: str) -> str:
    """The value without what may be a password: it was not understood, so no rule can find one in it."""
    return value.rpartition("@")[2]
