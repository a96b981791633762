"""What became of an image in an output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lifecycle.oci.image_index import Content, images_of

Progress = Callable[[int], object]
"""Gets the bytes of blobs that have become there since it was last called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What became of the blobs of an image in one output, in bytes. `retries`: how often something was tried again."""

    sent: int = 0
    present: int = 0
    """Were there."""
    mounted: int = 0
    """Were in another repository of the same registry, and nothing of them travelled."""
    retries: int = 0


Commit = Callable[[], Transfer]
"""Puts in place what was prepared."""


def size_of_blobs(content: Content) -> int:
    """Return the bytes of the layers and the config, of all images in an index, each blob counted once."""
    blobs = [
        blob
        for image in images_of(content)
        for blob in (image.manifest.config, *(layer.descriptor for layer in image.layers))
    ]
    return sum({blob.digest: blob.size for blob in blobs}.values())
