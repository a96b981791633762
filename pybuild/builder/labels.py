"""The labels by which builder images and buildpackages tell what is in them, as pack, kpack and the like read them.

The specification has those of a buildpackage (https://github.com/buildpacks/spec/blob/main/distribution.md); those of a builder are what
pack writes. Other programs decode these values into types of their own, so a field that is there has the type that they expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lifecycle import __version__ as lifecycle_version
from lifecycle.cnb.api import BUILDPACK_APIS, PLATFORM_APIS, ApiVersion
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.order import GroupMember, System
from lifecycle.cnb.toml import Table, read_table
from pybuild import __version__

BUILDER_LABEL = "io.buildpacks.builder.metadata"
ORDER_LABEL = "io.buildpacks.buildpack.order"
EXTENSION_ORDER_LABEL = "io.buildpacks.buildpack.order-extensions"
SYSTEM_LABEL = "io.buildpacks.buildpack.system"
BUILDPACK_LAYERS_LABEL = "io.buildpacks.buildpack.layers"
EXTENSION_LAYERS_LABEL = "io.buildpacks.extension.layers"
LIFECYCLE_VERSION_LABEL = "io.buildpacks.lifecycle.version"
LIFECYCLE_APIS_LABEL = "io.buildpacks.lifecycle.apis"
STACK_LABEL = "io.buildpacks.stack.id"
# What a label says of a buildpack beside its id and version; the same words as in buildpack.toml.
_INFO_KEYS = ("name", "description", "homepage", "keywords", "licenses")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImageName:
    """Under what name the run image is known, to rebase by."""

    image: str
    mirrors: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As labels and run.toml have it."""
        return {"image": self.image, "mirrors": list(self.mirrors)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedBuildpack:
    """A buildpack or an image extension, and the diff ID of the layer that has its files."""

    descriptor: Descriptor
    diff_id: Digest


def describe_module(buildpack: Descriptor) -> dict[str, object]:
    """What a label says of a buildpack in a list of buildpacks."""
    table = _named_table(buildpack)
    values: dict[str, object] = {"id": str(buildpack.id), "version": buildpack.version}
    values |= {key: table[key] for key in _INFO_KEYS if table.get(key)}
    if buildpack.exec_env:
        values["exec-env"] = list(buildpack.exec_env)
    if buildpack.clear_env:
        values["clear-env"] = True
    return values


def describe_layers(packaged: Iterable[PackagedBuildpack]) -> dict[str, dict[str, object]]:
    """`io.buildpacks.buildpack.layers` or `io.buildpacks.extension.layers`: by id and version."""
    found: dict[str, dict[str, object]] = {}
    for one in packaged:
        found.setdefault(str(one.descriptor.id), {})[one.descriptor.version] = _describe_layer(one)
    return found


def describe_order(groups: Sequence[Sequence[GroupMember]]) -> list[dict[str, object]]:
    """`io.buildpacks.buildpack.order`; also as a composite buildpack has it in its layer."""
    return [{"group": [_describe_member(member) for member in group]} for group in groups]


def describe_system(system: System) -> dict[str, object]:
    """`io.buildpacks.buildpack.system`."""
    sides = {"pre": system.before, "post": system.after}
    return {when: {"buildpacks": [_describe_member(one) for one in members]} for when, members in sides.items()}


def describe_apis() -> dict[str, object]:
    """`io.buildpacks.lifecycle.apis`; also in lifecycle.toml."""
    sets = {"buildpack": BUILDPACK_APIS, "platform": PLATFORM_APIS}
    return {kind: {"supported": [str(api) for api in apis], "deprecated": []} for kind, apis in sets.items()}


def describe_oldest_apis() -> dict[str, str]:
    """The form of `apis` that was there before a lifecycle supported several of a kind; it has the oldest."""
    return {"buildpack": _oldest(BUILDPACK_APIS), "platform": _oldest(PLATFORM_APIS)}


def describe_builder(
    description: str,
    buildpacks: Sequence[Descriptor],
    extensions: Sequence[Descriptor],
    run_images: Sequence[RunImageName],
) -> dict[str, object]:
    """`io.buildpacks.builder.metadata`."""
    return {
        "description": description,
        "buildpacks": [describe_module(one) for one in buildpacks],
        "extensions": [describe_module(one) for one in extensions],
        "stack": {"runImage": run_images[0].to_json()},
        "lifecycle": {"version": lifecycle_version, "api": describe_oldest_apis(), "apis": describe_apis()},
        "createdBy": {"name": "pybuild", "version": __version__},
        "images": [one.to_json() for one in run_images],
    }


def _describe_layer(one: PackagedBuildpack) -> dict[str, object]:
    buildpack = one.descriptor
    values: dict[str, object] = {"api": str(buildpack.api), "layerDiffID": str(one.diff_id)}
    document = _document(buildpack)
    for key in ("stacks", "targets"):
        if document.tables(key):
            values[key] = [dict(table.values) for table in document.tables(key)]
    if buildpack.order is not None:
        values["order"] = describe_order(buildpack.order.groups)
    for key, value in (("homepage", buildpack.homepage), ("name", buildpack.name)):
        if value:
            values[key] = value
    return values


def _describe_member(member: GroupMember) -> dict[str, object]:
    values: dict[str, object] = {"id": str(member.id), "version": member.version}
    if member.optional and not member.is_extension:
        values["optional"] = True
    if member.exec_env:
        values["exec-env"] = list(member.exec_env)
    return values


def _named_table(buildpack: Descriptor) -> Mapping[str, object]:
    kind = "extension" if buildpack.is_extension else "buildpack"
    return _document(buildpack).table(kind).values


def _document(buildpack: Descriptor) -> Table:
    name = "extension.toml" if buildpack.is_extension else "buildpack.toml"
    return read_table(buildpack.directory / name)


def _oldest(apis: Sequence[ApiVersion]) -> str:
    return str(min(apis))
