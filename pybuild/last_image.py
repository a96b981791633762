"""The image of an application's last build, in the store: the next build reuses its layers."""

from __future__ import annotations

from pathlib import Path

from lifecycle.cnb.errors import CnbError
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from pybuild.log import Log
from pybuild.store import Application

_TAG = "latest"


def last_image_location(application: Application) -> str:
    """Where the image is, as other programs name it."""
    return f"oci:{application.image}:{_TAG}"


def last_image_blobs(application: Application) -> Path:
    """Directory that new layers are written to, so that keeping the image copies none."""
    blobs = application.image / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    return blobs


def read_last_image(application: Application, log: Log) -> Image | None:
    """The image, if there is one that can be used; `log` says of a damaged one that it is not."""
    if not (application.image / "index.json").exists():
        return None
    try:
        return read_image(last_image_location(application))
    except CnbError as err:
        log.notice(f"the image of the last build is damaged and not reused: {err.summary}")
        # What is put into the layout now must not meet an index that says something else.
        (application.image / "index.json").unlink(missing_ok=True)
        return None


def keep_last_image(application: Application, image: Image) -> None:
    """Let `image` take the place of the one before, whole or not at all."""
    with open_layout(application.image) as layout:
        layout.add(image)
        layout.tag(image, [_TAG])
        layout.remove_unreferenced()
