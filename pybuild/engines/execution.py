"""What an engine that executes recipes is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from isal import igzip

from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.recipe import Recipe, RecipeImage
from lifecycle.execution.facts import RootfsFacts
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.image import Image, Layer
from lifecycle.oci.tar import Readable
from pybuild.builder.value import Builder
from pybuild.run_settings import RunSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A recipe to be executed, with all that it needs."""

    recipe: Recipe
    images: tuple[tuple[RecipeImage, Image], ...]
    app_dir: Path
    """The context; it is not changed."""
    directory: Path
    """What the engine keeps for the application is below this."""
    work: Path
    """Empty at first, gone afterwards."""
    blobs_dir: Path
    """Gets the blobs of new layers."""
    builder: Builder
    settings: RunSettings
    network: bool
    deadline: Deadline
    env: Mapping[str, str] = field(default_factory=dict)
    known_image: str | None = None
    """The engine's id of the last result; `None` where that cannot be used any more."""
    known_layers: Mapping[Digest, Layer] = field(default_factory=dict)
    """Layers whose blobs are there, by the diff id that the engine knows them by."""

    @property
    def arguments(self) -> Mapping[str, str]:
        """Build arguments that every stage declares; one that the Dockerfile declares itself is its own."""
        words = (one.text.split()[1:] for one in self.recipe.instructions if one.keyword == "ARG")
        own = {name.partition("=")[0].strip("'\"") for names in words for name in names}
        return {
            name: value
            for name, value in self.settings.variables.items()
            if name not in own | self.recipe.build_args.keys()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What an engine made."""

    image: str
    """The engine's id."""
    declared: tuple[str, ...]
    """What every stage declared as `ARG` for pybuild's own purposes."""
    config: bytes | None = None
    """`None` where the image was known; then there are no facts either."""
    facts: RootfsFacts | None = None
    layers: Mapping[Digest, Layer] = field(default_factory=dict)
    """Those that were not known, by the diff id that the engine knows them by."""


def compress_layer(blobs_dir: Path, stream: Readable) -> Layer:
    """The layer of an uncompressed archive."""
    blob = compress_layer_blob(blobs_dir, stream)
    return Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)


def open_gzip(stream: BinaryIO) -> Readable:
    """The content of a gzip file."""
    content: Readable = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
    return content
