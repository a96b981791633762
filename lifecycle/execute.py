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

from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.recipe import Recipe
from lifecycle.execution.arguments import build_arg_options
from lifecycle.execution.assignment import CONFIG_NAME, LAYERS_NAME, RESULT_NAME, Assignment, Result, write_result
from lifecycle.execution.buildah import Buildah, StoredImage, manifest_image_id, open_buildah
from lifecycle.execution.errors import ExtendError
from lifecycle.execution.facts import read_facts
from lifecycle.execution.following import Follower
from lifecycle.execution.narration import Narrator
from lifecycle.execution.steps import Wording, plan_stages
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
    stored = _check_storage(buildah, log)
    bases = _load_bases(request, buildah, {image.id: image for image in stored}, log)
    image, used = _build(request, buildah, log)
    facts = None
    if image != request.assignment.known_image:
        _export(request, buildah, image, log)
        with buildah.opened(image) as root:
            facts = read_facts(root)
    write_result(request.output_dir / RESULT_NAME, Result(image=image, facts=facts))
    _bound_storage(request, buildah, (*used, *bases, image))


def _check_storage(buildah: Buildah, log: PhaseLog) -> tuple[StoredImage, ...]:
    """The images in the storage, which is emptied where it cannot be used any more."""
    try:
        stored = buildah.images()
        if any((buildah.storage / "store").glob("*-containers/*/*")):
            buildah.remove_containers()
    except ExtendError as err:
        log.warning(f"notice: the layers of earlier builds are damaged and not reused: {err.output or err.message}")
        remove_tree(buildah.storage / "store")
        return ()
    return stored


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


def _build(request: ExecuteRequest, buildah: Buildah, log: PhaseLog) -> tuple[str, tuple[str, ...]]:
    """Id of the image, and beginnings of the ids of all that were used."""
    recipe = request.recipe
    declared = request.assignment.declared
    text, _ = recipe.render(arguments=declared)
    dockerfile = request.scratch_dir / "Dockerfile"
    dockerfile.write_text(text, encoding="utf-8", errors="surrogateescape")
    id_file = request.scratch_dir / "image-id"
    options, env = _build_options(request)
    narrator = Narrator(recipe=recipe, wording=Wording.of(recipe), log=log, network=request.network)
    follower = Follower(
        plan_stages(recipe, declared), on_step=narrator.step, on_cached=narrator.cached, on_line=narrator.line
    )
    command = (*options, "--iidfile", str(id_file), "--file", str(dockerfile), str(request.app_dir))
    result = buildah.build(command, follower.feed, {**env, **_proxies(request.env)})
    if result.status != 0:
        raise narrator.error(follower.failure())
    return id_file.read_text("ascii").strip().removeprefix("sha256:"), tuple(follower.used)


def _build_options(request: ExecuteRequest) -> tuple[tuple[str, ...], Mapping[str, str]]:
    recipe = request.recipe
    options, env = build_arg_options({**request.assignment.arguments, **recipe.build_args}, recipe.secret_args)
    if recipe.target is not None:
        options += ("--target", recipe.target)
    if recipe.ignore_file is not None:
        options += ("--ignorefile", str(request.app_dir / recipe.ignore_file))
    return options, env


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    """What buildah hands to commands by itself (`--http-proxy`), and keeps out of history and cache."""
    return {name: value for name, value in env.items() if name.lower().endswith("_proxy")}


def _export(request: ExecuteRequest, buildah: Buildah, image: str, log: PhaseLog) -> None:
    """Write the config, and the layers that are not known by their diff id, each under it, as gzip files."""
    config = buildah.config_of(image)
    (request.output_dir / CONFIG_NAME).write_text(config, encoding="utf-8", errors="surrogateescape")
    layout = request.scratch_dir / "layout"
    known = {diff_id: layout / "blobs" / diff_id.replace(":", "/") for diff_id in request.assignment.known_layers}
    for path in known.values():
        # Buildah does not write what is there; nobody reads these.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    log.detail("Exporting the layers")
    diff_ids = parse_json(config, source="config").table("rootfs").strings("diff_ids")
    layers = request.output_dir / LAYERS_NAME
    layers.mkdir()
    for diff_id, path in buildah.export(image, layout, diff_ids).items():
        if diff_id not in known:
            shutil.move(path, layers / diff_id.removeprefix("sha256:"))


def _bound_storage(request: ExecuteRequest, buildah: Buildah, used: Sequence[str]) -> None:
    path = buildah.storage / _USAGE_NAME
    images = [image.id for image in buildah.images()]
    usage, unused = read_usage(path).after(complete_ids(used, images)).split(images)
    buildah.remove(unused)
    write_usage(path, usage)
    bound_caches(request.storage_dir / "temporary")
