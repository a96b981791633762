"""What is in an OCI image layout, read with nothing but the standard library: an opinion independent of the product's."""

from __future__ import annotations

import gzip
import hashlib
import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutImage:
    """An image of an image layout."""

    layout: Path
    digest: str
    """Of the manifest, with its algorithm."""
    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def layers(self) -> list[Path]:
        """Blobs of the layers, base first."""
        return [blob(self.layout, layer["digest"]) for layer in self.manifest["layers"]]

    @property
    def env(self) -> dict[str, str]:
        """Environment that the image's config sets."""
        return dict(entry.split("=", 1) for entry in self.config["config"]["Env"])

    def label(self, name: str) -> Any:
        """A label of the image that holds JSON."""
        return json.loads(self.config["config"]["Labels"][name])


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """An entry of a layer; the content is read while iterating."""

    layer: int
    entry: tarfile.TarInfo
    content: bytes

    @property
    def name(self) -> str:
        """Path inside the image, without a leading slash."""
        return posixpath.normpath(self.entry.name).lstrip("/")


def blob(layout: Path, digest: str) -> Path:
    """Where a layout keeps the blob of `digest`."""
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def read_layout(layout: Path, tag: str | None = None) -> LayoutImage:
    """The image that has `tag`, or the only one."""
    index = json.loads((layout / "index.json").read_text())
    found = [
        entry
        for entry in index["manifests"]
        if tag is None or entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag
    ]
    digests = {entry["digest"] for entry in found}
    assert len(digests) == 1, f"{len(digests)} images have the tag {tag}"
    digest = digests.pop()
    manifest = json.loads(blob(layout, digest).read_bytes())
    config = json.loads(blob(layout, manifest["config"]["digest"]).read_bytes())
    return LayoutImage(layout=layout, digest=digest, manifest=manifest, config=config)


def iterate_files(image: LayoutImage) -> Iterator[LayerFile]:
    """Every entry of every layer, base first."""
    for number, path in enumerate(image.layers):
        with gzip.open(path) as stream, tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
            for entry in archive:
                member = archive.extractfile(entry) if entry.isreg() else None
                yield LayerFile(layer=number, entry=entry, content=member.read() if member else b"")


def file_names(image: LayoutImage) -> set[str]:
    """Paths of the image's files, without a leading slash."""
    return {file.name for file in iterate_files(image)}


def differences(first: LayoutImage, second: LayoutImage) -> list[str]:
    """What differs between two images, for a person to read; empty where they have one digest."""
    if first.digest == second.digest:
        return []
    found = [
        f"config: {key}: {first.config.get(key)} / {second.config.get(key)}"
        for key in sorted(first.config.keys() | second.config.keys())
        if first.config.get(key) != second.config.get(key) and key != "rootfs"
    ]
    left, right = _fingerprints(first), _fingerprints(second)
    found += [
        f"layer {name[0]}: {name[1]}: {left.get(name)} / {right.get(name)}"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]
    return [f"{first.digest} / {second.digest}", *found]


def _fingerprints(image: LayoutImage) -> dict[tuple[int, str], str]:
    return {
        (file.layer, file.name): f"{file.entry.mode:o} {file.entry.uid}:{file.entry.gid} {file.entry.mtime} "
        f"{file.entry.type!r} {file.entry.linkname} {hashlib.sha256(file.content).hexdigest()[:12]}"
        for file in iterate_files(image)
    }
