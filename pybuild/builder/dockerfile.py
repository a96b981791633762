"""`[pybuild.dockerfile]` of builder.toml: what an operator allows the Dockerfiles of repositories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.toml import Table

# The variable that the buildpack reads. The builder's own value is in /cnb/build-config, which wins over that of a build.
POLICY_VARIABLE = "BP_DOCKERFILE_POLICY"
_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:", "docker://")


class Policy(str, Enum):
    """Which instructions a Dockerfile may have. `restricted`: FROM, RUN and ENV, in one stage; `full`: all."""

    RESTRICTED = "restricted"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileSettings:
    """What holds for every Dockerfile that this builder builds."""

    policy: Policy = Policy.RESTRICTED
    allowed_bases: tuple[str, ...] | None = None
    """Patterns of names such as `docker.io/library/*`; `None`: any image."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """Where images really are: location by name, both spelled out."""


def parse_dockerfile_settings(table: Table, path: Path) -> DockerfileSettings:
    """The settings in `table` of the builder.toml at `path`. Raises `ConfigurationError`."""
    table.reject_unknown(frozenset({"policy", "allow-bases", "bases"}))
    known = ", ".join(f"`{policy.value}`" for policy in Policy)
    policy = table.optional_string("policy") or Policy.RESTRICTED.value
    if policy not in {one.value for one in Policy}:
        raise table.error(f"must be one of {known}, got `{policy}`", key="policy")
    bases = table.table("bases")
    return DockerfileSettings(
        policy=Policy(policy),
        allowed_bases=table.strings("allow-bases") if "allow-bases" in table else None,
        bases={_parse_name(name, bases): _parse_location(name, bases, path) for name in bases.values},
    )


def _parse_name(name: str, bases: Table) -> str:
    try:
        return str(Reference.parse(name).with_default_tag())
    except InvalidValue as err:
        raise bases.error(err.message, key=name) from err


def _parse_location(name: str, bases: Table, path: Path) -> str:
    location = bases.string(name)
    transport = next((prefix for prefix in _TRANSPORTS if location.startswith(prefix)), None)
    if transport is None:
        known = ", ".join(f"`{prefix}`" for prefix in _TRANSPORTS)
        raise bases.error(f"must start with one of {known}, got `{location}`", key=name)
    # Joining keeps an absolute path as it is.
    return location if transport == "docker://" else f"{transport}{path.parent / location.removeprefix(transport)}"
