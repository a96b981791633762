"""An image of a few files, which a recipe copies from: for what is not in the context."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lifecycle.cnb.recipe import RecipeImage
from lifecycle.cnb.target import host_architecture
from lifecycle.oci.archive import TarWriter
from lifecycle.oci.blob import write_layer_blob
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import Image, Layer, make_image

Images = tuple[tuple[RecipeImage, Image], ...]
"""What a recipe takes, each with what it is."""


def make_files_image(fill: Callable[[TarWriter], None], directory: Path) -> Image:
    """The image whose only layer `fill` writes. `directory` is its own: what an earlier build left there is removed."""
    blob = write_layer_blob(directory, fill)
    for other in directory.iterdir():
        if other != blob.path:
            other.unlink()
    layer = Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
    return make_image(ImageConfig(architecture=host_architecture(), os="linux"), [layer])
