"""`oci-archive:FILE` and `docker-archive:FILE`: one file with everything.

Both are an OCI layout as a tar, and `docker-archive:` has a `manifest.json` as well, which is what `docker load` reads up to
version 24; skopeo reads it as either. Blobs are in it as they are, so writing one is copying.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters.place import check_place, writing_to
from lifecycle.exporters.transfer import Commit, Progress, Transfer, size_of_blobs
from lifecycle.oci.alone import is_at, open_alone
from lifecycle.oci.archive import ROOT, TarWriter
from lifecycle.oci.descriptor import REF_NAME_ANNOTATION, ZSTD_LAYER_TYPE, Descriptor
from lifecycle.oci.durable import sync_files
from lifecycle.oci.errors import UnsupportedImage
from lifecycle.oci.image import Image, Layer
from lifecycle.oci.image_index import Content, ImageIndex, images_of, render_index
from lifecycle.oci.layout import BLOBS_DIR, INDEX_FILE, LAYOUT_FILE
from lifecycle.oci.layout_writer import LAYOUT_CONTENT, index_entries
from lifecycle.oci.location import Location, Transport
from lifecycle.oci.verify import verify_stream

DEFAULT_TAG = "latest"
ZSTD_REFUSED = "Docker reads it from version 23 on, and not everything else that reads such archives does"
_CONTAINERD_NAME = "io.containerd.image.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOutput:
    """An archive, and the names that the image gets in it. Made by `make`, which checks them."""

    file: Path
    transport: Transport
    tags: tuple[str, ...] = ()

    @classmethod
    def make(cls, location: Location, tags: tuple[str, ...]) -> ArchiveOutput:
        """Return the output; the name in `location` comes first. Raises `InvalidValue`."""
        names = dict.fromkeys([*([location.name] if location.name else []), *tags])
        if location.transport is Transport.DOCKER_ARCHIVE:
            names = dict.fromkeys(_docker_name(name) for name in names)
        return cls(file=location.path, transport=location.transport, tags=tuple(names))

    @property
    def location(self) -> str:
        """`docker-archive:FILE`."""
        return f"{self.transport.value}:{self.file}"

    @property
    def place(self) -> str:
        """What no other output may have."""
        return str(self.file.resolve())

    def check(self) -> None:
        """Find out before any work whether it can be written. Raises `InvalidValue`, `OSError`."""
        check_place(self.file)
        if self.file.is_dir():
            raise InvalidValue(str(self.file), "is a directory", f"name a file: {self.location}/image.tar")
        if self.file.exists() and not self.file.is_file():
            raise InvalidValue(
                str(self.file), "is a device or a pipe, and an archive would take its place", "name a file"
            )

    @contextlib.contextmanager
    def prepare(self, image: Content, on_progress: Progress | None) -> Iterator[Commit]:
        """Write the archive beside its place; the commit renames it."""
        self.check()
        # What a killed writer has left is written over.
        temporary = self.file.with_name(f".{self.file.name}.partial")
        with writing_to(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = open_alone(temporary, os.O_WRONLY | os.O_CREAT)
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            try:
                with writing_to(self.file):
                    os.ftruncate(descriptor, 0)
                    writer = TarWriter(lambda piece: _write_all(stream.fileno(), piece))
                    write_archive(writer, image, self.transport, self.tags, on_progress=on_progress)
                    writer.finish()
                    os.fsync(descriptor)
                yield lambda: self._commit(temporary, image)
            finally:
                # Another writer may have it from here on.
                if is_at(descriptor, temporary):
                    temporary.unlink()

    def _commit(self, temporary: Path, image: Content) -> Transfer:
        temporary.replace(self.file)
        sync_files([self.file])
        return Transfer(sent=size_of_blobs(image))


def write_archive(
    writer: TarWriter,
    content: Content,
    transport: Transport,
    names: Sequence[str],
    *,
    on_progress: Progress | None = None,
    omitted: Collection[Digest] = (),
) -> None:
    """Write all of an archive but its end. `omitted`: blobs of layers that its reader has. Raises `OciError`, `OSError`.

    An archive for Docker is of one image: `lifecycle.exporters.refuse_index`.
    """
    images = images_of(content)
    if transport is Transport.DOCKER_ARCHIVE and any(
        layer.descriptor.media_type == ZSTD_LAYER_TYPE for image in images for layer in image.layers
    ):
        raise UnsupportedImage(
            f"image {content.digest}",
            f"has layers compressed with zstd: {ZSTD_REFUSED}",
            "build it with gzip, or write it to `oci:`, `oci-archive:` or a registry",
        )
    writer.file(PurePosixPath(LAYOUT_FILE), LAYOUT_CONTENT, ROOT)
    writer.file(PurePosixPath(INDEX_FILE), render_index(_entries(content, transport, names)), ROOT)
    if isinstance(content, Image) and transport is Transport.DOCKER_ARCHIVE:
        writer.file(PurePosixPath("manifest.json"), _render_docker_manifest(content, names), ROOT)
    writer.parents(_blob_name(content.descriptor), ROOT)
    if isinstance(content, ImageIndex):
        writer.file(_blob_name(content.descriptor), content.content, ROOT)
    for image in images:
        writer.file(_blob_name(image.descriptor), image.manifest_bytes, ROOT)
        writer.file(_blob_name(image.manifest.config), image.config_bytes, ROOT)
    # The same content may be in an image twice, but not in an archive.
    for digest, layer in {layer.descriptor.digest: layer for image in images for layer in image.layers}.items():
        if digest not in omitted:
            _write_blob(writer, layer, on_progress)


def _entries(image: Content, transport: Transport, names: Sequence[str]) -> list[dict[str, object]]:
    if transport is not Transport.DOCKER_ARCHIVE:
        return index_entries(image, names)
    # As `docker save` writes them since version 25; an engine with containerd's image store reads these names.
    descriptor = image.descriptor.render()
    annotated = [
        {_CONTAINERD_NAME: name, REF_NAME_ANNOTATION: Reference.parse(name).tag or DEFAULT_TAG} for name in names
    ]
    return [{**descriptor, "annotations": annotations} for annotations in annotated] or [descriptor]


def _write_blob(writer: TarWriter, layer: Layer, on_progress: Progress | None) -> None:
    def copy(write: Callable[[bytes], None]) -> None:
        def write_and_tell(piece: bytes) -> None:
            write(piece)
            if on_progress is not None:
                on_progress(len(piece))

        with layer.path.open("rb") as stream:
            verify_stream(stream, layer.descriptor, subject=str(layer.path), write=write_and_tell)

    writer.stream(_blob_name(layer.descriptor), layer.descriptor.size, ROOT, copy)


def _blob_name(descriptor: Descriptor) -> PurePosixPath:
    return PurePosixPath(BLOBS_DIR, descriptor.digest.algorithm, descriptor.digest.hex)


def _render_docker_manifest(image: Image, names: Sequence[str]) -> bytes:
    entry = {
        "Config": str(_blob_name(image.manifest.config)),
        "Layers": [str(_blob_name(layer.descriptor)) for layer in image.layers],
        "RepoTags": list(names) or None,
    }
    return json.dumps([entry], sort_keys=True, separators=(",", ":")).encode()


def _docker_name(name: str) -> str:
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise InvalidValue(f"`{name}`", "has a digest, which the name of an image in an archive cannot have")
    return str(reference.with_default_tag())


def _write_all(descriptor: int, content: memoryview) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
