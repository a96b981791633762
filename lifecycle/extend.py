"""The extend phase: the Dockerfiles of image extensions are executed, by buildah (platform.md, "extender"; image_extension.md).

The build image becomes the one that buildpacks run in; of the run image there is what the exporter needs: `<extended>/run/<digest>`, an
OCI layout that has its manifest, its config and its new layers, and not those of the image below.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.generated import Generated, Kind
from lifecycle.execution.buildah import Buildah, check_storage, manifest_image_id, open_buildah
from lifecycle.execution.building import Workbench, build_recipe
from lifecycle.execution.directory import write_directory
from lifecycle.execution.errors import ExtendError
from lifecycle.execution.extended_image import Origin, make_extended_image
from lifecycle.execution.extensions import finish_run_image, make_recipe, says_rebasable
from lifecycle.execution.normalized import NormalizedLayer
from lifecycle.execution.steps import plan_stages
from lifecycle.execution.storage import complete_ids, read_usage, write_usage
from lifecycle.execution.stubs import WithoutStubs
from lifecycle.log import PhaseLog
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.compression import open_layer
from lifecycle.oci.config import parse_config
from lifecycle.oci.descriptor import GZIP_LAYER_TYPE
from lifecycle.oci.image import Image, Layer

_USAGE_NAME = "usage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendRequest:
    """What the phase needs."""

    kind: Kind
    generated: tuple[Generated, ...]
    base: Image
    app_dir: Path
    """The context of those that bring none; it is not changed."""
    excluded: tuple[PurePosixPath, ...]
    """Directories of the platform: what is there is not the image's."""
    storage_dir: Path
    """Kept from build to build."""
    scratch_dir: Path
    """Empty at first; on a file system that layers have room on."""
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """The extended image; `stored` is its id in the storage of buildah. Of a build image only the config of `image` is the new one."""

    image: Image
    buildah: Buildah
    stored: str
    used: tuple[str, ...] = field(default=())

    def forget_unused(self) -> None:
        """Remove what the last extensions had no use for from the storage."""
        path = self.buildah.storage / _USAGE_NAME
        images = [image.id for image in self.buildah.images()]
        usage, unused = read_usage(path).after(complete_ids((*self.used, self.stored), images)).split(images)
        self.buildah.remove(unused)
        write_usage(path, usage)


def extend(request: ExtendRequest, log: PhaseLog) -> Extended:
    """Execute the Dockerfiles, each on what the one before has made.

    Raises:
        InstructionFailed: an instruction failed.
        ExtendError: buildah could not do its work, or the run image would have all rights.
    """
    _check_rights()
    buildah = open_buildah(request.storage_dir, request.scratch_dir, request.env)
    stored = _load(request, buildah, log)
    bench = Workbench(buildah=buildah, scratch_dir=request.scratch_dir, env=request.env)
    image, used, is_rebasable = request.base, [stored], True
    entries = len(image.config.history)
    layers = {layer.diff_id: layer for layer in image.layers}
    for number, one in enumerate(request.generated):
        log.info(f"---> {one.extension} extends the {request.kind.value} image")
        name = f"base-{number}"
        recipe = make_recipe(one, name, image)
        buildah.tag(stored, recipe.images[0].local)
        # Buildah looks at the history of a base and at nothing else of it when it looks for a layer in its cache.
        declared = (f"pybuild_base_{stored[:16]}",)
        built = build_recipe(bench, recipe, one.context or request.app_dir, declared, {declared[0]: ""}, log)
        stored, used = built.image, [*used, *built.used]
        text = buildah.config_of(stored)
        config = parse_config(text.encode("utf-8", "surrogateescape"), source="the config of the extended image")
        if request.kind is Kind.BUILD:
            # It is used where it is; only the next Dockerfile wants to know of what user it is.
            image = replace(image, config=config)
            continue
        layers |= _export(request, buildah, stored, text, layers, number)
        # What buildah says of the earlier ones has been put in better words.
        said = replace(config, history=(*image.config.history, *config.history[entries:]))
        entries = len(config.history)
        origin = Origin(
            recipe=recipe,
            stages=plan_stages(recipe, declared),
            images={recipe.images[0].local: image},
            architecture=request.base.config.architecture,
        )
        image = make_extended_image(said.render(), origin, layers)
        is_rebasable = is_rebasable and says_rebasable(image)
    if request.kind is Kind.RUN:
        image = finish_run_image(image, request.generated, is_rebasable=is_rebasable)
    return Extended(image=image, buildah=buildah, stored=stored, used=tuple(used))


def _check_rights() -> None:
    try:
        subprocess.run(["unshare", "--mount", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        raise ExtendError(
            message="buildah cannot mount anything here, which it must to execute a Dockerfile",
            advice="start `extender` as root in a container that may mount: a privileged one, or one with CAP_SYS_ADMIN and without "
            "a seccomp profile that forbids it",
        ) from err


def _load(request: ExtendRequest, buildah: Buildah, log: PhaseLog) -> str:
    """Id of the base, which is in the storage then."""
    known = {image.id for image in check_storage(buildah, log)}
    directory = request.scratch_dir / "base"
    for name, path in write_directory(request.base, directory).items():
        (directory / name).symlink_to(path)
    image = manifest_image_id(directory)
    if image not in known:
        log.info(f"Loading the {request.kind.value} image")
        buildah.load(directory, f"pybuild.invalid/{image}")
    return image


def _export(
    request: ExtendRequest,
    buildah: Buildah,
    stored: str,
    config: str,
    known: Mapping[Digest, Layer],
    number: int,
) -> Mapping[Digest, Layer]:
    """The layers that are new, by the diff ids that buildah knows them by."""
    layout = request.scratch_dir / f"layout-{number}"
    new = buildah.export_new(stored, layout, config, [str(diff_id) for diff_id in known])
    return {Digest.parse(diff_id): _take(request, path) for diff_id, path in new.items()}


def _take(request: ExtendRequest, path: Path) -> Layer:
    with path.open("rb") as stream:
        content = NormalizedLayer(WithoutStubs(open_layer(stream, GZIP_LAYER_TYPE)), request.excluded)
        blob = compress_layer_blob(request.scratch_dir / "blobs", content)
    return Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
