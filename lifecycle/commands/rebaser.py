"""`rebaser`: an image gets another run image, without a build (platform.md, "rebaser")."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.labels import RunImageRecord
from lifecycle.commands.failing import failing_with
from lifecycle.commands.images import (
    PLACE,
    PREVIOUS_IMAGE,
    REPORT,
    RUN_IMAGE,
    Reach,
    check_one_registry,
    find_first,
    reaching,
    registry_of,
    write_image_report,
)
from lifecycle.commands.inputs import LAYERS, LOGGING, open_log
from lifecycle.errors import ArgumentsError, RebaseError
from lifecycle.exporters import write_outputs
from lifecycle.flags import Flag, Inputs
from lifecycle.images import FoundImage
from lifecycle.log import StreamLog
from lifecycle.oci.image import Image
from lifecycle.rebase import RebasedImage, RebaseRequest, read_app_metadata, rebase

CODE = 72
FLAGS = (
    *LOGGING,
    *PLACE,
    Flag(name="force", variable="CNB_FORCE_REBASE", default="", is_switch=True),
    # Only the report is there.
    LAYERS,
    PREVIOUS_IMAGE,
    REPORT,
    RUN_IMAGE,
)


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the rebased image to all its names, then report.toml."""
    log = open_log(inputs)
    names = inputs.arguments
    if not names:
        raise ArgumentsError(message="`rebaser` takes the names of the image, got none")
    with failing_with(CODE):
        if not (inputs.is_on("daemon") or inputs.is_on("layout")):
            check_one_registry(names)
        app_name = inputs.optional("previous-image") or names[0]
        known = (*names, app_name, inputs.optional("run-image"))
        with reaching(inputs, env, log, names=known, directories=(), any_platform=True) as reach:
            images = reach.images
            app = images.find(app_name)
            if app is None:
                raise RebaseError(message=f"there is no image `{app_name}`")
            image = images.read(app.reference)
            record = read_app_metadata(image.config).run_image
            found = find_first(images, _run_image_names(inputs, record, registry_of(names[0])))
            log.info(f"Run image: {found.reference}")
            rebased = _rebase(inputs, image, found, reach)
            for _, text in rebased.overridden:
                log.warning(text)
            _write(rebased.image, (image, images.read(found.reference)), names, reach, log)
        write_image_report(inputs, rebased.image, names)


def _run_image_names(inputs: Inputs, record: RunImageRecord, registry: str) -> tuple[str, ...]:
    given = inputs.optional("run-image")
    if given is not None:
        return (given,)
    names = [one for one in (record.image, *record.mirrors) if one]
    if not names:
        raise RebaseError(message="it does not say which run image it stands on", advice="name one: `-run-image`")
    return tuple(sorted(names, key=lambda one: registry_of(one) != registry))


def _rebase(inputs: Inputs, image: Image, found: FoundImage, reach: Reach) -> RebasedImage:
    request = RebaseRequest(
        image=image,
        run_image=reach.images.read(found.reference),
        run_image_name=found.name,
        run_image_reference=reach.images.identity(found, found.name),
        blobs_dir=reach.scratch / "blobs",
        force=inputs.is_on("force"),
    )
    return rebase(request)


def _write(image: Image, read: tuple[Image, ...], names: tuple[str, ...], reach: Reach, log: StreamLog) -> None:
    images = reach.images
    images.fetch_foreign(names)
    try:
        done = write_outputs(image, images.outputs(names), images.connections())
    except FileNotFoundError:
        for one in read:
            images.fetch(one.layers)
        done = write_outputs(image, images.outputs(names), images.connections())
    for written in done:
        log.info(f"Image: {written.location}")
