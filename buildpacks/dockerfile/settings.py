"""The variables that steer the buildpack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from buildpacks.dockerfile.location import DEFAULT_FILE, read_file_name
from buildpacks.dockerfile.policy import REFUSED_ARGUMENTS, Policy, read_policy
from buildpacks.installer.errors import InvalidSetting

TARGET_VARIABLE = "BP_DOCKERFILE_TARGET"
ARGUMENT_PREFIX = "BP_DOCKERFILE_ARG_"
# Whoever sets one of these wants every `pip install` constrained.
_CONSTRAINTS = ("BP_PIP_CONSTRAINTS", "PIP_CONSTRAINT", "UV_CONSTRAINT")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user and the operator chose."""

    file: str
    """The Dockerfile, relative to the app directory."""
    policy: Policy
    target: str | None
    """The stage to build; `None`: the last."""
    build_args: Mapping[str, str]
    has_constraints: bool
    """Whether constraints are configured, for pip or for this build."""


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings. Raises `InvalidSetting`."""
    return Settings(
        file=read_file_name(env) or DEFAULT_FILE,
        policy=read_policy(env),
        target=env.get(TARGET_VARIABLE, "").strip() or None,
        build_args=_read_build_args(env),
        has_constraints=any(env.get(variable, "").strip() for variable in _CONSTRAINTS),
    )


def _read_build_args(env: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable, value in sorted(env.items()):
        if not variable.startswith(ARGUMENT_PREFIX):
            continue
        name = variable.removeprefix(ARGUMENT_PREFIX)
        if name in REFUSED_ARGUMENTS:
            allowed = "nothing, because this builder reads Dockerfiles itself"
            raise InvalidSetting(variable=variable, value=value, allowed=allowed)
        if not _ARGUMENT.fullmatch(name):
            # The value may be a secret.
            allowed = "nothing, because a build argument cannot have this name"
            raise InvalidSetting(variable=variable, value="***", allowed=allowed)
        found[name] = value
    return found
