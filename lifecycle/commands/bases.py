"""What the restorer does for image extensions: which images they change is looked up, and these are kept for the extender."""

from __future__ import annotations

from dataclasses import replace

from lifecycle.cnb.analyzed import Analyzed, AnalyzedRunImage
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.generated import Kind, read_generated
from lifecycle.cnb.group import Group
from lifecycle.cnb.target import Target
from lifecycle.commands.images import as_run_image, find_first
from lifecycle.extension_bases import EXTENSION_CACHE, write_base
from lifecycle.flags import Inputs
from lifecycle.images import Images
from lifecycle.log import PhaseLog


def find_bases(
    analyzed: Analyzed, group: Group, images: Images, inputs: Inputs, api: ApiVersion, log: PhaseLog
) -> Analyzed:
    """Return analyzed.toml with the images that are there now; what will be extended is on this machine then.

    Raises:
        CnbError: an image is not there, or cannot be had.
        OSError: the disk is full.
    """
    run_image = analyzed.run_image
    if run_image is not None and run_image.target == Target():
        run_image = _look_up(run_image, images, log)
    if run_image is not None and run_image.extend:
        _keep(run_image.reference, images, inputs, log)
    build_image = inputs.optional("build-image")
    if build_image is not None:
        build_image = find_first(images, (build_image,)).reference
        if read_generated(inputs.path("generated"), group.extensions, Kind.BUILD, api):
            _keep(build_image, images, inputs, log)
    return replace(analyzed, run_image=run_image, build_image=build_image or analyzed.build_image)


def _look_up(run_image: AnalyzedRunImage, images: Images, log: PhaseLog) -> AnalyzedRunImage:
    """The run image that an extension has chosen by its name."""
    found = find_first(images, (run_image.image,))
    log.info(f"Run image: {found.reference}")
    return replace(run_image, reference=found.reference, target=as_run_image(found).target)


def _keep(reference: str, images: Images, inputs: Inputs, log: PhaseLog) -> None:
    log.info(f"Bringing {reference} to where it will be extended")
    image = images.read(reference)
    images.fetch(image.layers)
    write_base(inputs.path(EXTENSION_CACHE.name), reference, image)
