"""A buildpackage as an image: a layer for each buildpack, or one for several, and the labels that name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.jsontext import render_json_value
from lifecycle.cnb.toml import read_table
from lifecycle.oci.archive import ROOT, TarWriter
from lifecycle.oci.blob import write_layer_blobs
from lifecycle.oci.compression import Compression
from lifecycle.oci.config import History, ImageConfig
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.image import Image, Layer, make_image
from pybuild.builder.bases import CREATED
from pybuild.builder.buildpack_files import copy_buildpack
from pybuild.builder.buildpack_source import BUILDPACKAGE_LABEL
from pybuild.builder.errors import PackagingFailed
from pybuild.builder.labels import (
    BUILDPACK_LAYERS_LABEL,
    EXTENSION_LAYERS_LABEL,
    PackagedBuildpack,
    describe_layers,
    describe_module,
)
from pybuild.builder.package import CNB
from pybuild.buildpackage.contents import PackageContents

Stacks = Mapping[str, frozenset[str]]
"""Mixins by the id of their stack."""
_ANY_STACK: Stacks = {"*": frozenset()}


def make_package_images(
    contents: PackageContents,
    platforms: Sequence[Platform],
    scratch: Path,
    *,
    flattened: frozenset[str],
    compression: Compression,
) -> tuple[Image, ...]:
    """The image for each of `platforms`, all with the same layers. New blobs are in `scratch`, which is empty.

    The buildpacks whose `id@version` is in `flattened` share a layer.

    Raises:
        PackagingFailed: the buildpacks have no stack in common.
        lifecycle.cnb.errors.CnbError, OSError: files cannot be read or written.
    """
    stacks = _common_stacks(contents)
    for module in contents.all:
        place = scratch / "files" / _place(module).relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_buildpack(module, place)
        _normalize(place)
    groups = tuple(_groups(contents.all, flattened))
    fills = [_filler(group, scratch / "files") for group in groups]
    blobs = write_layer_blobs(scratch / "blobs", fills, compression=compression)
    layers = [
        Layer(
            descriptor=blob.descriptor,
            diff_id=blob.diff_id,
            path=blob.path,
            history=History(created=CREATED, created_by=f"pybuild: {', '.join(map(str, group))}"),
        )
        for group, blob in zip(groups, blobs, strict=True)
    ]
    packaged = [
        PackagedBuildpack(descriptor=module, diff_id=layer.diff_id)
        for group, layer in zip(groups, layers, strict=True)
        for module in group
    ]
    labels = _labels(contents.main, packaged, stacks)
    return tuple(make_image(_config(platform, labels), layers) for platform in platforms)


def _place(module: Descriptor) -> PurePosixPath:
    kind = "extensions" if module.is_extension else "buildpacks"
    return CNB / kind / module.id.directory_name / module.version


def _normalize(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)


def _groups(modules: Sequence[Descriptor], flattened: frozenset[str]) -> Iterator[tuple[Descriptor, ...]]:
    """What shares a layer, in the order of the image."""
    together = tuple(one for one in modules if str(one) in flattened)
    if together:
        yield together
    yield from ((one,) for one in modules if str(one) not in flattened)


def _filler(group: Sequence[Descriptor], files: Path) -> Callable[[TarWriter], None]:
    def fill(writer: TarWriter) -> None:
        for module in group:
            place = _place(module)
            writer.parents(place, ROOT)
            writer.tree(files / place.relative_to("/"), place, ROOT)

    return fill


def _config(platform: Platform, labels: Mapping[str, str]) -> ImageConfig:
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        created=CREATED,
        labels=labels,
    )


def _labels(main: Descriptor, packaged: Sequence[PackagedBuildpack], stacks: Stacks) -> dict[str, str]:
    layers = EXTENSION_LAYERS_LABEL if main.is_extension else BUILDPACK_LAYERS_LABEL
    values: dict[str, object] = {
        BUILDPACKAGE_LABEL: {**describe_module(main), **({} if main.is_extension else {"stacks": _render(stacks)})},
        layers: describe_layers(packaged),
    }
    return {name: render_json_value(value) for name, value in values.items()}


def _render(stacks: Stacks) -> list[dict[str, object]]:
    return [{"id": name, **({"mixins": sorted(mixins)} if mixins else {})} for name, mixins in sorted(stacks.items())]


def _common_stacks(contents: PackageContents) -> Stacks:
    """Stacks that every buildpack of the package runs on, with all mixins that they need; `*` where any will do."""
    common: Stacks = _ANY_STACK
    for module in contents.all:
        if module.is_extension or module.order is not None:
            continue
        tables = read_table(module.directory / "buildpack.toml").tables("stacks")
        own = {table.string("id"): frozenset(table.strings("mixins")) for table in tables} or _ANY_STACK
        common = _intersect(common, own)
        if not common:
            raise PackagingFailed(
                f"the buildpacks of the package have no stack in common: `{module}` is for {', '.join(sorted(own))}",
                advice="give it `[[targets]]` in the place of `[[stacks]]`, or leave it out",
            )
    return common


def _intersect(one: Stacks, other: Stacks) -> Stacks:
    if "*" in one or "*" in other:
        special = {name: mixins for name, mixins in {**one, **other}.items() if name != "*"}
        mixins = one.get("*", frozenset()) | other.get("*", frozenset())
        if "*" in one and "*" in other:
            return {"*": mixins, **special}
        return {name: found | mixins for name, found in (other if "*" in one else one).items()}
    return {name: one[name] | other[name] for name in one.keys() & other.keys()}
