"""Several images under one name, for several platforms (https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.jsontext import render_json
from lifecycle.oci.descriptor import INDEX_TYPE, Descriptor, Platform
from lifecycle.oci.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIndex:
    """Images for different platforms, at least one, and the document that names them."""

    images: tuple[Image, ...]
    content: bytes = field(repr=False)

    @property
    def digest(self) -> Digest:
        """Digest of the document: what identifies the index in a registry."""
        return Digest.of(self.content)

    @property
    def descriptor(self) -> Descriptor:
        """Descriptor of the document, as another index holds it."""
        return Descriptor(media_type=INDEX_TYPE, digest=self.digest, size=len(self.content))


Content = Image | ImageIndex
"""What a name can lead to."""


def make_index(images: Sequence[Image]) -> ImageIndex:
    """Return the index of `images`, in their order; each names the platform that its config does."""
    entries = (
        replace(
            image.descriptor,
            platform=Platform(os=image.config.os, architecture=image.config.architecture, variant=image.config.variant),
        ).render()
        for image in images
    )
    return ImageIndex(images=tuple(images), content=render_index(entries))


def images_of(content: Content) -> tuple[Image, ...]:
    """Return the images of an index, or the one image."""
    return content.images if isinstance(content, ImageIndex) else (content,)


def render_index(entries: Iterable[Mapping[str, object]]) -> bytes:
    """Return the document of an index; entries are JSON values of descriptors."""
    return render_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(entries)}).encode()
