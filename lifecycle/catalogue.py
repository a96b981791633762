"""The buildpacks and image extensions that an order can reach, read and checked before any of them runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from lifecycle.cnb.api import BUILDPACK_APIS
from lifecycle.cnb.buildpack import Descriptor, read_descriptor, read_extension_descriptor
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.order import GroupMember, Order
from lifecycle.errors import BuildpackApiUnsupported, CompositeCycle, MissingBuildpack


def read_catalogue(order: Order, buildpacks_dir: Path, extensions_dir: Path) -> Mapping[str, Descriptor]:
    """Return every buildpack of the order and of the composites in it, and every extension, by `GroupMember.key`.

    Raises `MissingBuildpack`, `BuildpackApiUnsupported`, `CompositeCycle` and `ConfigurationError`.
    """
    catalogue: dict[str, Descriptor] = {}
    _add_order(order, (), buildpacks_dir, catalogue)
    for member in (member for group in order.extensions for member in group):
        if member.key not in catalogue:
            catalogue[member.key] = read_extension(member, extensions_dir)
    return catalogue


def read_buildpack(member: GroupMember | GroupElement, buildpacks_dir: Path) -> Descriptor:
    """Return the buildpack at `<buildpacks>/<id>/<version>`. Raises as `read_catalogue` does."""
    return _read(member, buildpacks_dir, "buildpack", read_descriptor)


def read_extension(member: GroupMember | GroupElement, extensions_dir: Path) -> Descriptor:
    """Return the image extension at `<extensions>/<id>/<version>`. Raises as `read_catalogue` does."""
    return _read(member, extensions_dir, "extension", read_extension_descriptor)


def _read(
    member: GroupMember | GroupElement,
    parent: Path,
    kind: Literal["buildpack", "extension"],
    read: Callable[[Path], Descriptor],
) -> Descriptor:
    directory = parent / member.id.directory_name / member.version
    file = directory / f"{kind}.toml"
    if not file.is_file():
        raise MissingBuildpack(buildpack=str(member), directory=parent, kind=kind)
    descriptor = read(directory)
    if str(descriptor) != str(member):
        raise ConfigurationError(file, f"describes `{descriptor}`, not `{member}`")
    if descriptor.api not in BUILDPACK_APIS:
        raise BuildpackApiUnsupported(buildpack=str(member), requested=descriptor.api, kind=kind)
    return descriptor


def _add_order(order: Order, way: tuple[str, ...], buildpacks_dir: Path, catalogue: dict[str, Descriptor]) -> None:
    for member in (member for group in order.groups for member in group):
        name = str(member)
        if name in way:
            raise CompositeCycle(buildpacks=(*way, name))
        if name not in catalogue:
            descriptor = read_buildpack(member, buildpacks_dir)
            # After its own members: a composite that is being walked is on the way, not in the catalogue.
            if descriptor.order is not None:
                _add_order(descriptor.order, (*way, name), buildpacks_dir, catalogue)
            catalogue[name] = descriptor
