"""An image as plain data: documents in memory, layer blobs as paths. Nothing lazy, nothing that fails on access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.oci.config import History, ImageConfig
from lifecycle.oci.descriptor import CONFIG_TYPE, MANIFEST_TYPE, Descriptor
from lifecycle.oci.errors import BrokenImage
from lifecycle.oci.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer. `path` is the file with the blob as stored (compressed); `diff_id` is of the uncompressed tar."""

    descriptor: Descriptor
    diff_id: Digest
    path: Path
    history: History | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image. `layers` are base first; both documents are kept to the byte, because their digests are names."""

    manifest: Manifest
    config: ImageConfig
    layers: tuple[Layer, ...]
    manifest_bytes: bytes = field(repr=False)
    config_bytes: bytes = field(repr=False)

    @property
    def digest(self) -> Digest:
        """Digest of the manifest: what identifies the image in a registry."""
        return Digest.of(self.manifest_bytes)

    @property
    def id(self) -> Digest:
        """Digest of the config: what a Docker engine calls the image's id."""
        return self.manifest.config.digest

    @property
    def descriptor(self) -> Descriptor:
        """Descriptor of the manifest, as an index holds it."""
        return Descriptor(media_type=MANIFEST_TYPE, digest=self.digest, size=len(self.manifest_bytes))


def make_image(config: ImageConfig, layers: Sequence[Layer], *, annotations: Mapping[str, str] | None = None) -> Image:
    """Return the image of `config` and `layers` (base first). Diff ids and history of the config come from the layers.

    Entries of `config.history` that made no layer (`empty_layer`) are kept in their place.
    """
    complete = replace(
        config,
        diff_ids=tuple(layer.diff_id for layer in layers),
        history=_merge_history(config.history, layers),
    )
    config_bytes = complete.render()
    manifest = Manifest(
        config=Descriptor(media_type=CONFIG_TYPE, digest=Digest.of(config_bytes), size=len(config_bytes)),
        layers=tuple(layer.descriptor for layer in layers),
        annotations=annotations or {},
    )
    return Image(
        manifest=manifest,
        config=complete,
        layers=tuple(layers),
        manifest_bytes=manifest.render(),
        config_bytes=config_bytes,
    )


def assemble_image(
    *,
    manifest: Manifest,
    config: ImageConfig,
    paths: Sequence[Path],
    manifest_bytes: bytes,
    config_bytes: bytes,
    source: str,
) -> Image:
    """Return the image that its documents describe; `paths` are its layer blobs, base first.

    A manifest of Docker's older form becomes OCI's. Raises `BrokenImage` where manifest and config contradict each other.
    """
    if len(manifest.layers) != len(config.diff_ids):
        raise BrokenImage(source, f"has {len(manifest.layers)} layers, but its config names {len(config.diff_ids)}")
    history = [entry for entry in config.history if not entry.empty_layer]
    origins: Sequence[History | None] = history if len(history) == len(paths) else [None] * len(paths)
    parts = zip(manifest.layers, config.diff_ids, paths, origins, strict=True)
    return Image(
        manifest=manifest,
        config=config,
        layers=tuple(
            Layer(descriptor=layer, diff_id=diff_id, path=path, history=origin)
            for layer, diff_id, path, origin in parts
        ),
        manifest_bytes=manifest.render() if b"application/vnd.docker." in manifest_bytes else manifest_bytes,
        config_bytes=config_bytes,
    )


def _merge_history(history: Sequence[History], layers: Sequence[Layer]) -> tuple[History, ...]:
    # Engines match history and layers by counting, so it is complete or absent: a layer whose origin is unknown gets an
    # empty entry as soon as any other has one.
    if not any(layer.history for layer in layers) and not history:
        return ()
    merged: list[History] = []
    remaining = iter(layers)
    for entry in history:
        if entry.empty_layer:
            merged.append(entry)
            continue
        layer = next(remaining, None)
        if layer is None:
            break
        merged.append(layer.history or entry)
    merged.extend(layer.history or History() for layer in remaining)
    return tuple(merged)
