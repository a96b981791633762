"""Executes a recipe with buildah, in one user namespace, without a registry and a daemon. A phase of pybuild's own, in its sandbox.

What it is given was checked and fetched before: the recipe, the images that it names, as directories in the form that `dir:` of
https://github.com/containers/image/blob/main/docs/containers-transports.5.md has, and an assignment. It leaves the image's id, and
its config and new layers where the id is not known already (`lifecycle.execution.assignment`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.recipe import Recipe
from lifecycle.execution.assignment import CONFIG_NAME, LAYERS_NAME, RESULT_NAME, Assignment, Result, write_result
from lifecycle.execution.buildah import Buildah, StoredImage, check_storage, manifest_image_id, open_buildah
from lifecycle.execution.building import Workbench, build_recipe
from lifecycle.execution.facts import read_facts
from lifecycle.execution.storage import bound_caches, complete_ids, read_usage, write_usage
from lifecycle.log import PhaseLog

_USAGE_NAME = "usage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteRequest:
    """What the phase needs."""

    recipe: Recipe
    app_dir: Path
    """The context, which is only read."""
    images_dir: Path
    """Directory `0` has the first of the recipe's images, and so on."""
    storage_dir: Path
    """Kept from build to build."""
    output_dir: Path
    scratch_dir: Path
    assignment: Assignment
    env: Mapping[str, str]
    network: bool = True


def execute(request: ExecuteRequest, log: PhaseLog) -> None:
    """Execute the recipe, and write its result into the output directory.

    Raises:
        InstructionFailed: an instruction failed.
        ExtendError: buildah could not do its work.
    """
    buildah = open_buildah(request.storage_dir, request.scratch_dir, request.env)
    stored = check_storage(buildah, log)
    bases = _load_bases(request, buildah, {image.id: image for image in stored}, log)
    bench = Workbench(buildah=buildah, scratch_dir=request.scratch_dir, env=request.env, network=request.network)
    given = request.assignment
    built = build_recipe(bench, request.recipe, request.app_dir, given.declared, given.arguments, log)
    image = built.image
    facts = None
    if image != request.assignment.known_image:
        _export(request, buildah, image, log)
        with buildah.opened(image) as root:
            facts = read_facts(root)
    write_result(request.output_dir / RESULT_NAME, Result(image=image, facts=facts))
    _bound_storage(request, buildah, (*built.used, *bases, image))


def _load_bases(
    request: ExecuteRequest, buildah: Buildah, stored: Mapping[str, StoredImage], log: PhaseLog
) -> tuple[str, ...]:
    """Ids of the recipe's images, which are in the storage under their local names then."""
    found = []
    for number, image in enumerate(request.recipe.images):
        directory = request.images_dir / str(number)
        image_id = manifest_image_id(directory)
        if image_id not in stored:
            log.info(f"Loading {image.written}")
            buildah.load(directory, image.local)
        elif image.local not in stored[image_id].names:
            buildah.tag(image_id, image.local)
        found.append(image_id)
    return tuple(found)


def _export(request: ExecuteRequest, buildah: Buildah, image: str, log: PhaseLog) -> None:
    """Write the config, and the layers that are not known by their diff id, each under it, as gzip files."""
    config = buildah.config_of(image)
    (request.output_dir / CONFIG_NAME).write_text(config, encoding="utf-8", errors="surrogateescape")
    log.detail("Exporting the layers")
    exported = buildah.export_new(image, request.scratch_dir / "layout", config, request.assignment.known_layers)
    layers = request.output_dir / LAYERS_NAME
    layers.mkdir()
    for diff_id, path in exported.items():
        shutil.move(path, layers / diff_id.removeprefix("sha256:"))


def _bound_storage(request: ExecuteRequest, buildah: Buildah, used: Sequence[str]) -> None:
    path = buildah.storage / _USAGE_NAME
    images = [image.id for image in buildah.images()]
    usage, unused = read_usage(path).after(complete_ids(used, images)).split(images)
    buildah.remove(unused)
    write_usage(path, usage)
    bound_caches(request.storage_dir / "temporary")
