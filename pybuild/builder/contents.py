"""What builder.toml's buildpacks and order turn out to be, before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.cnb.api import BUILDPACK_APIS
from lifecycle.cnb.buildpack import Descriptor, read_descriptor
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import GroupMember, Order, System
from pybuild.builder.definition import Definition, RequestedMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The buildpacks of a builder, in the order of builder.toml, and who takes part when, with exact versions."""

    buildpacks: tuple[Descriptor, ...]
    order: Order
    system: System


def read_contents(definition: Definition, architecture: str) -> Contents:
    """What `definition` names, for images of `architecture`.

    Raises:
        ConfigurationError: a buildpack is not what was asked for, or the order names one that is not there.
    """
    _check_targets(definition, architecture)
    descriptors: list[Descriptor] = []
    for wanted in definition.buildpacks:
        found = read_descriptor(wanted.directory)
        if wanted.id not in (None, found.id) or wanted.version not in (None, found.version):
            raise ConfigurationError(
                definition.path, f"`{wanted.directory}` is {found}, not {wanted.id}@{wanted.version}"
            )
        if found.order is None and found.api not in BUILDPACK_APIS:
            known = ", ".join(str(api) for api in BUILDPACK_APIS)
            raise ConfigurationError(
                definition.path, f"buildpack `{found}` uses Buildpack API {found.api}; this lifecycle supports {known}"
            )
        if any((other.id, other.version) == (found.id, found.version) for other in descriptors):
            raise ConfigurationError(definition.path, f"buildpack `{found}` stands there twice")
        descriptors.append(found)
    groups = tuple(tuple(_resolve(member, descriptors, definition) for member in group) for group in definition.order)
    return Contents(
        buildpacks=tuple(descriptors),
        order=Order(groups=groups),
        system=System(
            before=tuple(_resolve(member, descriptors, definition) for member in definition.system_before),
            after=tuple(_resolve(member, descriptors, definition) for member in definition.system_after),
        ),
    )


def _resolve(member: RequestedMember, descriptors: Sequence[Descriptor], definition: Definition) -> GroupMember:
    versions = [descriptor.version for descriptor in descriptors if descriptor.id == member.id]
    if not versions:
        known = ", ".join(f"`{descriptor.id}`" for descriptor in descriptors) or "none"
        raise ConfigurationError(definition.path, f"`order` names the buildpack `{member.id}`; there are: {known}")
    if member.version is None and len(versions) > 1:
        shown = ", ".join(versions)
        raise ConfigurationError(definition.path, f"`order` must say which version of `{member.id}`: {shown}")
    version = member.version or versions[0]
    if version not in versions:
        shown = ", ".join(versions)
        raise ConfigurationError(definition.path, f"`order` names `{member.id}@{version}`; there is {shown}")
    return GroupMember(id=BuildpackId(member.id), version=version, optional=member.optional)


def _check_targets(definition: Definition, architecture: str) -> None:
    if definition.targets and architecture not in {target.arch for target in definition.targets}:
        shown = ", ".join(f"linux/{target.arch}" for target in definition.targets)
        raise ConfigurationError(definition.path, f"`targets` has {shown}; images are to be for linux/{architecture}")
