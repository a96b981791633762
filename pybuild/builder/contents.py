"""What builder.toml's buildpacks, extensions and order turn out to be, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lifecycle.cnb.api import BUILDPACK_APIS
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.order import GroupMember, Order, System
from pybuild.builder.definition import Definition
from pybuild.builder.kept import tree_hash
from pybuild.builder.modules import FoundModule
from pybuild.builder.requested import RequestedGroups, RequestedMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The buildpacks and extensions of a builder, in the order of builder.toml, and who takes part when, with exact versions."""

    buildpacks: tuple[Descriptor, ...]
    extensions: tuple[Descriptor, ...] = ()
    order: Order
    system: System

    @property
    def modules(self) -> tuple[Descriptor, ...]:
        """Both kinds."""
        return (*self.buildpacks, *self.extensions)


def read_contents(definition: Definition, found: Sequence[FoundModule], architecture: str) -> Contents:
    """What `definition` names, which is `found`, for images of `architecture`.

    Raises:
        ConfigurationError: the order names something that is not there, or a composite buildpack does; names the place.
    """
    _check_targets(definition, architecture)
    modules = tuple(_distinct(definition, found))
    for module in modules:
        _check_api(definition, module)
    buildpacks = tuple(one for one in modules if not one.is_extension)
    extensions = tuple(one for one in modules if one.is_extension)
    for buildpack in buildpacks:
        _check_composite(definition, buildpack, buildpacks)
    return Contents(
        buildpacks=buildpacks,
        extensions=extensions,
        order=Order(
            groups=_resolve_groups(definition, definition.order, buildpacks),
            extensions=_resolve_groups(definition, definition.extension_order, extensions, is_extension=True),
        ),
        system=System(
            before=tuple(_resolve(member, buildpacks, definition) for member in definition.system_before),
            after=tuple(_resolve(member, buildpacks, definition) for member in definition.system_after),
        ),
    )


def _distinct(definition: Definition, found: Sequence[FoundModule]) -> Iterator[Descriptor]:
    """Each once: packages may bring the same buildpack."""
    known: dict[str, Descriptor] = {}
    for module in found:
        for number, one in enumerate(module.descriptors):
            other = known.get(one.key)
            if other is None:
                known[one.key] = one
                yield one
            elif tree_hash(one.directory) != tree_hash(other.directory):
                where = "it" if number == 0 else f"`{module.requested.source}`"
                raise definition.error(
                    module.requested.place,
                    f"brings `{one}`, which another entry brings with other files",
                    f"leave one of them out, or give {where} the version that the other has",
                )
            elif number == 0 and module.descriptors[0].directory == other.directory:
                raise definition.error(module.requested.place, f"`{one}` stands there twice", "leave one of them out")


def _check_api(definition: Definition, module: Descriptor) -> None:
    if module.order is None and module.api not in BUILDPACK_APIS:
        known = ", ".join(str(api) for api in BUILDPACK_APIS)
        kind = "extension" if module.is_extension else "buildpack"
        raise ConfigurationError(
            definition.path, f"{kind} `{module}` uses Buildpack API {module.api}; this lifecycle supports {known}"
        )


def _check_composite(definition: Definition, buildpack: Descriptor, there: Sequence[Descriptor]) -> None:
    for member in () if buildpack.order is None else (one for group in buildpack.order.groups for one in group):
        if all((one.id, one.version) != (member.id, member.version) for one in there):
            raise ConfigurationError(
                definition.path,
                f"buildpack `{buildpack}` is made of others, and of them `{member}` is not in the builder",
                advice=f"add `[[buildpacks]]` with the `uri` of {member}, or package `{buildpack.id}` together with it",
            )


def _resolve_groups(
    definition: Definition, groups: RequestedGroups, there: Sequence[Descriptor], *, is_extension: bool = False
) -> tuple[tuple[GroupMember, ...], ...]:
    return tuple(
        tuple(_resolve(member, there, definition, is_extension=is_extension) for member in group) for group in groups
    )


def _resolve(
    member: RequestedMember, there: Sequence[Descriptor], definition: Definition, *, is_extension: bool = False
) -> GroupMember:
    kind, table = ("extension", "extensions") if is_extension else ("buildpack", "buildpacks")
    place = f"{member.place}.id"
    versions = [one.version for one in there if one.id == member.id]
    shown = ", ".join(versions)
    if not versions:
        known = ", ".join(f"`{one.id}`" for one in there) or "none"
        raise definition.error(
            place, f"names the {kind} `{member.id}`; there are: {known}", f"add it to `[[{table}]]`, or correct the id"
        )
    if member.version is None and len(versions) > 1:
        raise definition.error(place, f"must say which version of `{member.id}`: {shown}", "add a line `version = …`")
    version = member.version or versions[0]
    if version not in versions:
        raise definition.error(
            f"{member.place}.version", f"names `{member.id}@{version}`; there is {shown}", "correct it, or leave it out"
        )
    return GroupMember(
        id=member.id,
        version=version,
        optional=member.optional or is_extension,
        exec_env=member.exec_env,
        is_extension=is_extension,
    )


def _check_targets(definition: Definition, architecture: str) -> None:
    if definition.targets and architecture not in {target.arch for target in definition.targets}:
        shown = ", ".join(dict.fromkeys(f"linux/{target.arch}" for target in definition.targets))
        raise definition.error("targets", f"has {shown}; images are to be for linux/{architecture}")
