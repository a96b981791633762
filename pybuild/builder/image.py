"""The builder as an image, as pack makes it, for platforms that start the programs of /cnb/lifecycle in containers.

Layers: those of the build base; the directories that builds and programs work in; tools and interpreters; the lifecycle; one for each
buildpack; and the files that say who takes part when. All times are those of reproducible archives, so the same builder is the same image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle import __version__ as lifecycle_version
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.jsontext import render_json_value
from lifecycle.cnb.order import read_system
from lifecycle.oci.archive import ROOT, Owner, TarWriter
from lifecycle.oci.blob import write_layer_blobs
from lifecycle.oci.compression import Compression
from lifecycle.oci.config import History
from lifecycle.oci.image import Image, Layer, make_image
from pybuild.builder.bases import CREATED, read_base_image
from pybuild.builder.errors import ImageUnusable
from pybuild.builder.labels import (
    BUILDER_LABEL,
    BUILDPACK_LAYERS_LABEL,
    EXTENSION_LAYERS_LABEL,
    EXTENSION_ORDER_LABEL,
    LIFECYCLE_APIS_LABEL,
    LIFECYCLE_VERSION_LABEL,
    ORDER_LABEL,
    STACK_LABEL,
    SYSTEM_LABEL,
    PackagedBuildpack,
    describe_apis,
    describe_builder,
    describe_layers,
    describe_order,
    describe_system,
)
from pybuild.builder.package import CNB, OPT
from pybuild.builder.value import Builder

_LAYERS, _WORKSPACE, _PLATFORM = PurePosixPath("/layers"), PurePosixPath("/workspace"), PurePosixPath("/platform")
# Where the lifecycle was in the first builders; platforms still look there.
_OLD_LIFECYCLE = PurePosixPath("/lifecycle")
_CONFIGURATION = ("order.toml", "system.toml", "stack.toml", "run.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A layer to be made. `module`: the buildpack or extension whose files it has."""

    created_by: str
    fill: Callable[[TarWriter], None]
    module: Descriptor | None = None


def make_builder_image(builder: Builder, blobs_dir: Path, *, compression: Compression = Compression.GZIP) -> Image:
    """The image of `builder`. New blobs are in `blobs_dir`, those of the base in the store.

    Raises:
        lifecycle.oci.errors.OciError, OSError: files cannot be read or written.
    """
    base = with_stack(read_base_image(builder.build_base), builder.stack_id)
    parts = tuple(_parts(builder))
    blobs = write_layer_blobs(blobs_dir, [part.fill for part in parts], compression=compression)
    layers = [
        Layer(
            descriptor=blob.descriptor,
            diff_id=blob.diff_id,
            path=blob.path,
            history=History(created=CREATED, created_by=part.created_by),
        )
        for part, blob in zip(parts, blobs, strict=True)
    ]
    packaged = tuple(
        PackagedBuildpack(descriptor=part.module, diff_id=layer.diff_id)
        for part, layer in zip(parts, layers, strict=True)
        if part.module is not None
    )
    config = replace(
        base.config,
        created=CREATED,
        user=f"{builder.user_id}:{builder.group_id}",
        env=tuple(f"{name}={value}" for name, value in {**base.config.environment(), **builder.env}.items()),
        working_dir=str(_LAYERS),
        labels={**base.config.labels, **_labels(builder, packaged)},
    )
    return make_image(config, [*base.layers, *layers])


def with_stack(image: Image, stack_id: str | None) -> Image:
    """`image` with the label of that stack; as it is where there is none.

    Raises:
        ImageUnusable: it says that its stack is another one.
    """
    if stack_id is None:
        return image
    said = image.config.labels.get(STACK_LABEL, stack_id)
    if said != stack_id:
        raise ImageUnusable(
            f"a base says that its stack is `{said}`, and builder.toml that it is `{stack_id}`",
            advice="correct `id` in `[stack]` of builder.toml, or leave it out",
        )
    labels = {**image.config.labels, STACK_LABEL: stack_id}
    return make_image(replace(image.config, labels=labels), image.layers)


def _parts(builder: Builder) -> Iterator[_Part]:
    cnb, opt = builder.directory / "cnb", builder.directory / "opt"
    yield _Part(created_by="pybuild: directories of builds", fill=_directories(builder))
    for path in sorted(opt.iterdir()):
        yield _Part(created_by=f"pybuild: {OPT / path.name}", fill=_tree(path, OPT / path.name))
    yield _Part(created_by=f"pybuild: lifecycle {lifecycle_version}", fill=_lifecycle(cnb / "lifecycle"))
    for module in (*builder.buildpacks, *builder.extensions):
        kind, target = "extension" if module.is_extension else "buildpack", CNB / module.directory.relative_to(cnb)
        yield _Part(created_by=f"pybuild: {kind} {module}", fill=_tree(module.directory, target), module=module)
    for name in _CONFIGURATION:
        if (cnb / name).is_file():
            yield _Part(created_by=f"pybuild: {CNB / name}", fill=_file(cnb / name, CNB / name))
    variables = PurePosixPath("build-config", "env")
    yield _Part(created_by=f"pybuild: {CNB / variables}", fill=_tree(cnb / variables, CNB / variables))


def _directories(builder: Builder) -> Callable[[TarWriter], None]:
    own = Owner(user_id=builder.user_id, group_id=builder.group_id)
    of_root = (CNB, CNB / "buildpacks", CNB / "extensions", CNB / "build-config", CNB / "build-config" / "env")

    def fill(writer: TarWriter) -> None:
        for path in (_WORKSPACE, _LAYERS):
            writer.directory(path, own)
        for path in (*of_root, _PLATFORM, _PLATFORM / "env"):
            writer.directory(path, ROOT)

    return fill


def _lifecycle(directory: Path) -> Callable[[TarWriter], None]:
    def fill(writer: TarWriter) -> None:
        writer.parents(CNB / "lifecycle", ROOT)
        writer.tree(directory, CNB / "lifecycle", ROOT)
        writer.symlink(_OLD_LIFECYCLE, str(CNB / "lifecycle"), ROOT)

    return fill


def _tree(directory: Path, target: PurePosixPath) -> Callable[[TarWriter], None]:
    def fill(writer: TarWriter) -> None:
        writer.parents(target, ROOT)
        writer.tree(directory, target, ROOT)

    return fill


def _file(path: Path, target: PurePosixPath) -> Callable[[TarWriter], None]:
    def fill(writer: TarWriter) -> None:
        writer.parents(target, ROOT)
        writer.file(target, path.read_bytes(), ROOT)

    return fill


def _labels(builder: Builder, packaged: tuple[PackagedBuildpack, ...]) -> dict[str, str]:
    values: dict[str, object] = {
        BUILDER_LABEL: describe_builder(
            builder.description, builder.buildpacks, builder.extensions, builder.run_images
        ),
        ORDER_LABEL: describe_order(builder.order.groups),
        EXTENSION_ORDER_LABEL: describe_order(builder.order.extensions),
        BUILDPACK_LAYERS_LABEL: describe_layers(one for one in packaged if not one.descriptor.is_extension),
        EXTENSION_LAYERS_LABEL: describe_layers(one for one in packaged if one.descriptor.is_extension),
        LIFECYCLE_APIS_LABEL: describe_apis(),
    }
    system = builder.directory / "cnb" / "system.toml"
    if system.is_file():
        values[SYSTEM_LABEL] = describe_system(read_system(system))
    labels = {name: render_json_value(value) for name, value in values.items()}
    return {**labels, LIFECYCLE_VERSION_LABEL: lifecycle_version}
