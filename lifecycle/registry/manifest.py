"""What a registry may send as a manifest, and what of it can be pulled.

Manifest or index: https://github.com/opencontainers/image-spec/blob/v1.1.0/ (manifest.md, image-index.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.oci.descriptor import (
    DOCKER_INDEX_TYPE,
    DOCKER_MANIFEST_TYPE,
    GZIP_LAYER_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    OCI_TYPES,
    ZSTD_LAYER_TYPE,
    Descriptor,
    Platform,
    parse_descriptor,
)
from lifecycle.oci.document import parse_document
from lifecycle.oci.errors import BrokenImage, UnsupportedImage
from lifecycle.oci.manifest import Manifest, parse_manifest

ACCEPTED_TYPES = (MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE)
# Engines refuse images with more (https://github.com/moby/moby/blob/v28.0.0/layer/layer.go).
LAYER_LIMIT = 127
_LAYER_TYPES = frozenset({LAYER_TYPE, GZIP_LAYER_TYPE, ZSTD_LAYER_TYPE})
# What registries without a type for it call a JSON document
_GENERIC_TYPES = frozenset({"", "application/json", "application/octet-stream", "text/plain"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or an index as a registry has sent it."""

    content: bytes
    media_type: str
    """`MANIFEST_TYPE` or `INDEX_TYPE`, also where Docker's own form was sent."""


def read_type(content: bytes, content_type: str | None, *, source: str) -> str:
    """Return what kind of document it is. Raises `OciError`, `ConfigurationError`.

    A document that two readers would take for different things is refused (CVE-2021-41190).
    """
    table = parse_document(content, source=source)
    if table.values.get("schemaVersion") == 1:
        raise UnsupportedImage(
            source,
            "is in the format that Docker had until 2016 (schema 1), which has no digests of its parts",
            "pull it with an old Docker and push it again, or ask its owner for a newer one",
        )
    has_images, has_layers = "manifests" in table, "layers" in table or "config" in table
    if has_images == has_layers:
        both = "is a manifest and an index at once" if has_images else "is neither a manifest nor an index"
        raise BrokenImage(source, both)
    found = INDEX_TYPE if has_images else MANIFEST_TYPE
    said = (content_type or "").partition(";")[0].strip().lower()
    for claimed in (said if said not in _GENERIC_TYPES else "", table.optional_string("mediaType") or ""):
        if claimed and OCI_TYPES.get(claimed, claimed) != found:
            raise BrokenImage(source, f"is called `{claimed[:100]}`, but is not")
    return found


def platforms_of(content: bytes, *, source: str) -> tuple[Descriptor, ...]:
    """Return the images of an index; what is not an image, such as an attestation, is left out."""
    tables = parse_document(content, source=source).tables("manifests")
    entries = (parse_descriptor(table) for table in tables)
    return tuple(
        entry
        for entry in entries
        if entry.media_type in (MANIFEST_TYPE, INDEX_TYPE)
        and not (entry.platform is not None and entry.platform.os == "unknown")
    )


def choose_platform(entries: Sequence[Descriptor], wanted: Platform) -> Descriptor | None:
    """Return the entry for a platform, the first of those that fit best."""
    fitting = [entry for entry in entries if entry.platform is not None and fits(entry.platform, wanted)]
    exact = [entry for entry in fitting if entry.platform is not None and entry.platform.variant == wanted.variant]
    unnamed = [entry for entry in entries if entry.platform is None]
    # An index of one image need not say what it is for; its config does.
    return next(iter((*exact, *fitting, *(unnamed if len(entries) == 1 else ()))), None)


def fits(found: Platform, wanted: Platform) -> bool:
    """Return whether an image for `found` runs on `wanted`."""
    if (found.os, found.architecture) != (wanted.os, wanted.architecture):
        return False
    return wanted.variant is None or found.variant is None or found.variant == wanted.variant


def parse_platform(text: str, *, source: str) -> Platform:
    """Return the platform that `os/architecture[/variant]` names. Raises `UnsupportedImage`."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UnsupportedImage(source, f"`{text}` is not a platform", "write for example linux/amd64")
    return Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else None)


def name_of(platform: Platform) -> str:
    """Return `os/architecture[/variant]`."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def parse_image_manifest(content: bytes, *, source: str) -> Manifest:
    """Return a manifest whose layers can be pulled and read. Raises `OciError`, `ConfigurationError`."""
    manifest = parse_manifest(content, source=source)
    if len(manifest.layers) > LAYER_LIMIT:
        raise UnsupportedImage(
            source, f"has {len(manifest.layers)} layers; engines take {LAYER_LIMIT} at most", "use an image with fewer"
        )
    for layer in manifest.layers:
        if "nondistributable" in layer.media_type or ".foreign." in layer.media_type:
            # CVE-2020-15157: their bytes are elsewhere, and who is asked there is up to the image.
            raise UnsupportedImage(source, "has layers that are not in its registry (foreign layers)")
        if layer.media_type not in _LAYER_TYPES:
            raise UnsupportedImage(
                source, f"has a layer of the type `{layer.media_type[:100]}`, so it is no image to run"
            )
    return manifest
