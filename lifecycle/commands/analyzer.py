"""`analyzer`: what is known of the previous image and of the run image (platform.md, "analyzer")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from lifecycle.analyze import PreviousImage, analyze
from lifecycle.cnb.analyzed import write_analyzed
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.run_images import read_run_images
from lifecycle.commands.failing import failing_with
from lifecycle.commands.images import (
    CACHE_DIR,
    CACHE_IMAGE,
    LAUNCH_CACHE,
    PLACE,
    PREVIOUS_IMAGE,
    RUN,
    RUN_IMAGE,
    SKIP_LAYERS,
    STACK,
    TAG,
    as_run_image,
    check_one_registry,
    find_first,
    reaching,
    registry_of,
)
from lifecycle.commands.inputs import ANALYZED, LAYERS, LOGGING, open_log
from lifecycle.errors import AnalyzeError, ArgumentsError
from lifecycle.exporters import check_outputs
from lifecycle.flags import Inputs
from lifecycle.images import FoundImage
from lifecycle.registry.push import check_access
from lifecycle.sbom_layer import restore_launch_sbom

CODE = 32
FLAGS = (
    *LOGGING,
    *PLACE,
    ANALYZED,
    CACHE_DIR,
    CACHE_IMAGE,
    LAUNCH_CACHE,
    LAYERS,
    PREVIOUS_IMAGE,
    RUN,
    RUN_IMAGE,
    SKIP_LAYERS,
    STACK,
    TAG,
)


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write analyzed.toml, and the bills of materials of the previous image."""
    log = open_log(inputs)
    if len(inputs.arguments) != 1:
        raise ArgumentsError(message=f"`analyzer` takes one image, got {len(inputs.arguments)}")
    (name,), tags = inputs.arguments, inputs.all("tag")
    previous_name = inputs.optional("previous-image") or name
    cache_image = inputs.optional("cache-image")
    with failing_with(CODE):
        is_elsewhere = inputs.is_on("daemon") or inputs.is_on("layout")
        if not is_elsewhere:
            check_one_registry((name, *tags))
        choice = _run_image_names(inputs, registry_of(name))
        layers_dir = inputs.path("layers")
        directories = [one for one in (layers_dir, inputs.optional_path("cache-dir")) if one is not None]
        known = (name, *tags, previous_name, cache_image, *choice)
        with reaching(inputs, env, log, names=known, directories=directories) as reach:
            images = reach.images
            check_outputs(images.outputs((name, *tags)), images.connections())
            if cache_image is not None:
                check_access(reach.client, Reference.parse(cache_image))
            previous = images.find(previous_name)
            run_image = find_first(images, choice)
            analyzed = analyze(
                previous=None if previous is None else _as_previous(previous),
                run_image=as_run_image(run_image),
                log=log,
            )
            log.info(f"Run image: {run_image.reference}")
            if analyzed.previous_image is not None:
                log.info(f"Previous image: {analyzed.previous_image}")
                if analyzed.previous.sbom is not None and not inputs.is_on("skip-layers"):
                    restore_launch_sbom(
                        images.read(analyzed.previous_image),
                        analyzed.previous.sbom,
                        layers_dir,
                        log,
                        layers_path=PurePosixPath(layers_dir),
                        fetch=images.fetch,
                    )
            write_analyzed(inputs.path("analyzed"), analyzed)


def _run_image_names(inputs: Inputs, registry: str) -> tuple[str, ...]:
    """Names of the run image in the order in which they are asked for (platform.md, "Run Image Resolution")."""
    given = inputs.optional("run-image")
    if given is not None:
        return (given,)
    offered = read_run_images(inputs.path("run"))
    if not offered:
        raise AnalyzeError(
            image="of the run", message=f"nobody names one: give `-run-image`, or `{inputs.path('run')}` with images"
        )
    first = offered[0]
    return tuple(sorted((first.image, *first.mirrors), key=lambda one: registry_of(one) != registry))


def _as_previous(found: FoundImage) -> PreviousImage:
    return PreviousImage(reference=found.reference, labels=found.labels)
