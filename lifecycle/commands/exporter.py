"""`exporter`: the layers of a build become an image (platform.md, "exporter")."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from lifecycle.app_config import render_time
from lifecycle.cache import Cache
from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage, read_analyzed
from lifecycle.cnb.api import BUILDPACK_APIS, ApiVersion
from lifecycle.cnb.group import Group, read_group
from lifecycle.cnb.metadata import read_build_metadata, read_project_metadata
from lifecycle.cnb.run_images import RunImageNames, read_run_images
from lifecycle.commands.caches import cache_target, gated_exec_env, open_remote_cache
from lifecycle.commands.failing import failing_with
from lifecycle.commands.images import (
    CACHE_DIR,
    CACHE_IMAGE,
    LAUNCH_CACHE,
    PLACE,
    REPORT,
    RUN,
    STACK,
    Reach,
    check_one_registry,
    reaching,
    write_image_report,
)
from lifecycle.commands.inputs import ANALYZED, APP, EXEC_ENV, EXTENDED, GROUP, LAYERS, LOGGING, open_log
from lifecycle.errors import ArgumentsError, BuildpackApiUnsupported, ExportError
from lifecycle.export import ExportedImage, ExportRequest, export
from lifecycle.exporters import write_outputs
from lifecycle.extended_run_image import read_extended
from lifecycle.flags import Flag, Inputs
from lifecycle.images import FoundImage
from lifecycle.log import StreamLog
from lifecycle.oci.image import Image
from lifecycle.remote_cache import SavedCache
from lifecycle.run_image_names import is_named

CODE = 62
FLAGS = (
    *LOGGING,
    *PLACE,
    ANALYZED,
    APP,
    CACHE_DIR,
    CACHE_IMAGE,
    EXEC_ENV,
    EXTENDED,
    GROUP,
    LAUNCH_CACHE,
    # The launcher is written for each image: a program that others bring would not know its processes.
    Flag(name="launcher", variable="", default=""),
    Flag(name="launcher-sbom", variable="", default=""),
    LAYERS,
    # The image and the image of its cache always go side by side.
    Flag(name="parallel", variable="CNB_PARALLEL_EXPORT", default="", is_switch=True),
    Flag(name="process-type", variable="CNB_PROCESS_TYPE", default=""),
    Flag(name="project-metadata", variable="CNB_PROJECT_METADATA_PATH", default="<layers>/project-metadata.toml"),
    REPORT,
    RUN,
    STACK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What an image is made from."""

    inputs: Inputs
    exec_env: str
    group: Group
    analyzed: Analyzed
    run_image: AnalyzedRunImage
    source_date_epoch: int | None


def run(inputs: Inputs, api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the image to all its names, then report.toml, then the cache."""
    log = open_log(inputs)
    names = (*inputs.arguments, *inputs.lists.get("tag", ()))
    if not inputs.arguments:
        raise ArgumentsError(message="`exporter` takes the names of the image, got none")
    with failing_with(CODE):
        if not (inputs.is_on("daemon") or inputs.is_on("layout")):
            check_one_registry(names)
        ground = _read_ground(inputs, api, env, log)
        layers_dir, cache_dir = inputs.path("layers"), inputs.optional_path("cache-dir")
        launch_cache, cache_image = inputs.optional_path("launch-cache"), inputs.optional("cache-image")
        directories = [one for one in (layers_dir, cache_dir, launch_cache) if one is not None]
        with reaching(inputs, env, log, names=(*names, cache_image), directories=directories) as reach:
            cache = Cache(
                directory=cache_dir or reach.scratch / "cache", target=cache_target(ground.analyzed), copies=True
            )
            with _saving_to_image(cache_image, cache, ground, reach, log) as finish:
                exported = _export(ground, names, reach, log)
                write_image_report(inputs, exported.image, names)
                saved = finish()
            if cache_dir is not None:
                cache.save(
                    layers_dir=layers_dir,
                    group=ground.group,
                    image=exported.metadata,
                    log=log,
                    exec_env=ground.exec_env,
                    known=saved.facts,
                    cache_image=saved.digest,
                )


def _read_ground(inputs: Inputs, api: ApiVersion, env: Mapping[str, str], log: StreamLog) -> _Ground:
    group = read_group(inputs.path("group"))
    for element in group.elements:
        if element.api not in BUILDPACK_APIS:
            raise BuildpackApiUnsupported(buildpack=str(element), requested=element.api)
    analyzed = read_analyzed(inputs.path("analyzed"))
    if analyzed.run_image is None or not analyzed.run_image.reference:
        raise ExportError(message=f"{inputs.path('analyzed')} names no run image", advice="start `analyzer` before")
    return _Ground(
        inputs=inputs,
        exec_env=gated_exec_env(inputs, api),
        group=group,
        analyzed=analyzed,
        run_image=analyzed.run_image,
        source_date_epoch=_source_date_epoch(env, log),
    )


def _export(ground: _Ground, names: tuple[str, ...], reach: Reach, log: StreamLog) -> ExportedImage:
    images, analyzed = reach.images, ground.analyzed
    run_image = images.read(ground.run_image.reference)
    previous = None if analyzed.previous_image is None else images.read(analyzed.previous_image)
    images.fetch_foreign(names)
    request = _request(ground, run_image, previous, reach)
    if ground.run_image.extend:
        created = render_time(ground.source_date_epoch)
        extended = read_extended(ground.inputs.path("extended"), run_image, request.blobs_dir, created=created)
        request = replace(request, run_image=extended, extended_from=run_image)
    try:
        exported = _write(request, names, reach, log)
    except FileNotFoundError:
        # The registry wants blobs that it could have taken from where they are, or one is to be compressed anew.
        for image in (run_image, previous):
            images.fetch(image.layers if image is not None else ())
        exported = _write(request, names, reach, log)
    images.keep(exported.image, run_image)
    return exported


def _request(ground: _Ground, run_image: Image, previous: Image | None, reach: Reach) -> ExportRequest:
    inputs = ground.inputs
    layers_dir, app_dir = inputs.path("layers"), inputs.path("app")
    names = _names_of_run_image(ground.run_image, read_run_images(inputs.path("run")))
    found = FoundImage(
        name=ground.run_image.image,
        reference=ground.run_image.reference,
        digest=str(run_image.digest),
        os=run_image.config.os,
        architecture=run_image.config.architecture,
    )
    known_as = replace(ground.run_image, image=names.image, reference=reach.images.identity(found, names.image))
    return ExportRequest(
        layers_dir=layers_dir,
        app_dir=app_dir,
        group=ground.group,
        build=read_build_metadata(layers_dir / "config" / "metadata.toml"),
        analyzed=replace(ground.analyzed, run_image=known_as),
        project=read_project_metadata(inputs.path("project-metadata")),
        run_image=run_image,
        run_image_mirrors=names.mirrors,
        previous=previous,
        blobs_are_remote=True,
        blobs_dir=reach.scratch / "blobs",
        owner=reach.owner,
        process_type=inputs.optional("process-type"),
        exec_env=ground.exec_env,
        source_date_epoch=ground.source_date_epoch,
        layers_path=PurePosixPath(layers_dir),
        app_path=PurePosixPath(app_dir),
    )


def _write(request: ExportRequest, names: tuple[str, ...], reach: Reach, log: StreamLog) -> ExportedImage:
    exported = export(request, log)
    for written in write_outputs(exported.image, reach.images.outputs(names), reach.images.connections()):
        log.info(f"Image: {written.location}")
    return exported


def _names_of_run_image(run_image: AnalyzedRunImage, offered: tuple[RunImageNames, ...]) -> RunImageNames:
    """What the operator calls the run image; one that no operator offers has its own name only."""
    return next(
        (one for one in offered if is_named(run_image.image, (one.image, *one.mirrors))),
        RunImageNames(image=run_image.image),
    )


@contextlib.contextmanager
def _saving_to_image(
    name: str | None, cache: Cache, ground: _Ground, reach: Reach, log: StreamLog
) -> Iterator[Callable[[], SavedCache]]:
    """Make the image of the cache meanwhile, if there is to be one."""
    if name is None:
        yield SavedCache
        return
    remote = open_remote_cache(name, reach, log)
    remote.look_up()
    layers_dir = ground.inputs.path("layers")
    with remote.exporting(
        cache, layers_dir=layers_dir, group=ground.group, owner=reach.owner, exec_env=ground.exec_env
    ) as finish:
        yield finish


def _source_date_epoch(env: Mapping[str, str], log: StreamLog) -> int | None:
    text = env.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        log.warning(f"`SOURCE_DATE_EPOCH` is not used: `{text}` is no number of seconds")
        return None
