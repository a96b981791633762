"""The variables that steer the buildpack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from buildpacks.dockerfile.location import DEFAULT_FILE, read_file_name
from buildpacks.dockerfile.policy import REFUSED_ARGUMENTS, Policy, read_policy
from buildpacks.installer.errors import InvalidSetting

TARGET_VARIABLE = "BP_DOCKERFILE_TARGET"
ARGUMENT_PREFIX = "BP_DOCKERFILE_ARG_"
USER_MANAGED_VARIABLE = "BP_USER_MANAGED_DEPENDENCIES"
INTERPRETER_VARIABLE = "BP_INTERPRETER_PATH"
# Whoever sets one of these wants every `pip install` constrained.
_CONSTRAINTS = ("BP_PIP_CONSTRAINTS", "PIP_CONSTRAINT", "UV_CONSTRAINT")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user and the operator chose."""

    file: str
    """The Dockerfile, relative to the app directory."""
    is_named: bool
    """Whether the user named it."""
    policy: Policy
    target: str | None
    """The stage to build; `None`: the last."""
    build_args: Mapping[str, str]
    has_constraints: bool
    """Whether constraints are configured, for pip or for this build."""
    user_managed: bool
    """Whether Python and packages are those of the Dockerfile, with the repository put on top."""
    interpreter: PurePosixPath | None
    """What becomes `python`, as an absolute path in the image; `None`: as the image has it. Only with `user_managed`."""


def read_settings(env: Mapping[str, str]) -> Settings:
    """Return the settings. Raises `InvalidSetting`."""
    name = read_file_name(env)
    user_managed = _read_switch(env, USER_MANAGED_VARIABLE)
    return Settings(
        file=name or DEFAULT_FILE,
        is_named=name is not None,
        policy=read_policy(env),
        target=env.get(TARGET_VARIABLE, "").strip() or None,
        build_args=_read_build_args(env),
        has_constraints=any(env.get(variable, "").strip() for variable in _CONSTRAINTS),
        user_managed=user_managed,
        interpreter=_read_interpreter(env) if user_managed else None,
    )


def _read_build_args(env: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable, value in sorted(env.items()):
        if not variable.startswith(ARGUMENT_PREFIX):
            continue
        name = variable.removeprefix(ARGUMENT_PREFIX)
        if name in REFUSED_ARGUMENTS or not _ARGUMENT.fullmatch(name):
            allowed = "nothing: this builder reads Dockerfiles itself" if name in REFUSED_ARGUMENTS else "no such name"
            raise InvalidSetting(variable=variable, value="***", allowed=allowed)
        found[name] = value
    return found


def _read_switch(env: Mapping[str, str], variable: str) -> bool:
    value = env.get(variable, "").strip().lower()
    if value in ("", "0", "false"):
        return False
    if value in ("1", "true"):
        return True
    raise InvalidSetting(variable=variable, value=value, allowed="`true` or `false`")


def _read_interpreter(env: Mapping[str, str]) -> PurePosixPath | None:
    value = env.get(INTERPRETER_VARIABLE, "").strip()
    path = PurePosixPath(value)
    # A colon would end a directory of `PATH`.
    is_usable = path.is_absolute() and bool(path.name) and ".." not in path.parts and ":" not in value
    if value and not (is_usable and value.isprintable()):
        allowed = "the absolute path of an interpreter in the image, such as `/opt/python/bin/python3`"
        raise InvalidSetting(variable=INTERPRETER_VARIABLE, value=value, allowed=allowed)
    return path if value else None
