"""Reads the archives of `docker save`: `manifest.json`, configs, and layers that are not compressed
(https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format).
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import posixpath
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.toml import Table
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.config import parse_config
from lifecycle.oci.descriptor import CONFIG_TYPE, GZIP_LAYER_TYPE, Descriptor
from lifecycle.oci.document import SIZE_LIMIT, parse_document
from lifecycle.oci.errors import BlobMismatch, BrokenImage, ImageNotFound
from lifecycle.oci.image import Image, Layer, assemble_image
from lifecycle.oci.manifest import Manifest
from lifecycle.oci.tar import Member, MemberKind, TarReader
from lifecycle.oci.verify import open_regular

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_SIZE = 1 << 20
_LINK_LIMIT = 8


def read_docker_archive(
    path: Path, name: str | None, scratch: Path, *, known: Mapping[Digest, Layer] | None = None
) -> Image:
    """Return the image called `name`, or the only one. Its layers are put into `scratch`, compressed where they were not.

    Those whose diff id is `known` already are taken from there. The archive has no manifest, so one is made.

    Raises `OciError`, `ConfigurationError`, `InvalidValue`.
    """
    with _open(path, scratch) as stream:
        members = {_normalized(member.name): member for member in TarReader(stream, source=str(path))}
        archive = _Archive(path=path, stream=stream, members=members)
        entry = _choose(archive.manifest(), name, path)
        config_bytes = archive.content(entry.string("Config"))
        config = parse_config(config_bytes, source=f"{path}: {entry.string('Config')}")
        layers = entry.strings("Layers")
        if len(layers) != len(config.diff_ids):
            raise BrokenImage(
                str(path), f"has {len(layers)} layers, but the image's config names {len(config.diff_ids)}"
            )
        there = {diff_id: (layer.descriptor, layer.path) for diff_id, layer in (known or {}).items()}
        blobs = [
            there[diff_id] if diff_id in there else archive.layer(layer, diff_id, scratch)
            for layer, diff_id in zip(layers, config.diff_ids, strict=True)
        ]
    manifest = Manifest(
        config=Descriptor(media_type=CONFIG_TYPE, digest=Digest.of(config_bytes), size=len(config_bytes)),
        layers=tuple(descriptor for descriptor, _ in blobs),
    )
    return assemble_image(
        manifest=manifest,
        config=config,
        paths=[blob for _, blob in blobs],
        manifest_bytes=manifest.render(),
        config_bytes=config_bytes,
        source=str(path),
    )


class _Archive:
    """An archive whose members can be read in any order."""

    def __init__(self, *, path: Path, stream: BinaryIO, members: Mapping[str, Member]) -> None:
        self._path = path
        self._stream = stream
        self._members = members

    def manifest(self) -> tuple[Table, ...]:
        # A document that is an array; parsed as part of one that is an object.
        content = b'{"images":' + self.content("manifest.json") + b"}"
        return parse_document(content, source=f"{self._path}: manifest.json").tables("images")

    def content(self, name: str) -> bytes:
        member = self._find(name)
        if member.size > SIZE_LIMIT:
            raise BrokenImage(str(self._path), f"has a `{name}` of more than {SIZE_LIMIT} bytes")
        self._stream.seek(member.offset)
        return self._stream.read(member.size)

    def layer(self, name: str, diff_id: Digest, scratch: Path) -> tuple[Descriptor, Path]:
        member = self._find(name)
        self._stream.seek(member.offset)
        is_gzip = self._stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        self._stream.seek(member.offset)
        section = _Section(self._stream, member.size)
        if is_gzip:
            return _store(section, scratch)
        blob = compress_layer_blob(scratch, section)
        if blob.diff_id != diff_id:
            raise BlobMismatch(
                subject=f"layer `{name}` in {self._path}",
                expected_digest=str(diff_id),
                found_digest=str(blob.diff_id),
                expected_size=member.size,
                found_size=blob.uncompressed_size,
            )
        return blob.descriptor, blob.path

    def _find(self, name: str) -> Member:
        # Docker writes a layer that occurs twice as a link to the first.
        for _ in range(_LINK_LIMIT):
            member = self._members.get(posixpath.normpath(name))
            if member is None:
                break
            if member.kind is MemberKind.FILE:
                return member
            link = member.link.decode("utf-8", "surrogateescape")
            name = link if member.kind is MemberKind.HARD_LINK else posixpath.join(posixpath.dirname(name), link)
        raise BrokenImage(str(self._path), f"has no `{name}`")


class _Section:
    """So many bytes of a stream, from where it stands."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._remaining = size

    def read(self, size: int, /) -> bytes:
        content = self._stream.read(min(size, self._remaining))
        self._remaining -= len(content)
        return content


@contextlib.contextmanager
def _open(path: Path, scratch: Path) -> Iterator[BinaryIO]:
    """The archive, uncompressed: `docker save | gzip` is what people make."""
    with open_regular(path) as stream:
        is_gzip = stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        stream.seek(0)
        if not is_gzip:
            yield stream
            return
        plain = scratch / "archive.tar"
        try:
            with plain.open("wb") as output, gzip.open(stream) as uncompressed:
                shutil.copyfileobj(uncompressed, output, _PIECE_SIZE)
        except (gzip.BadGzipFile, EOFError, zlib.error) as err:
            raise BrokenImage(str(path), f"is a damaged gzip file: {err}") from err
        try:
            with plain.open("rb") as stream_of_plain:
                yield stream_of_plain
        finally:
            plain.unlink()


def _choose(entries: Sequence[Table], name: str | None, path: Path) -> Table:
    names = sorted({tag for entry in entries for tag in entry.strings("RepoTags")})
    known = ", ".join(f"`{tag}`" for tag in names) or "none with a name"
    if name is not None:
        wanted = Reference.parse(name).with_default_tag()
        found = [entry for entry in entries if wanted in [Reference.parse(tag) for tag in entry.strings("RepoTags")]]
        if not found:
            raise ImageNotFound(str(path), f"has no image `{name}`; there are: {known}")
        return found[0]
    if len(entries) != 1:
        advice = "add a colon and the name of the one to take" if entries else None
        raise ImageNotFound(str(path), f"has {len(entries)} images: {known}", advice)
    return entries[0]


def _store(section: _Section, scratch: Path) -> tuple[Descriptor, Path]:
    partial = scratch / "partial"
    digest, size = hashlib.sha256(), 0
    with partial.open("wb") as output:
        while piece := section.read(_PIECE_SIZE):
            digest.update(piece)
            size += len(piece)
            output.write(piece)
    path = scratch / digest.hexdigest()
    partial.replace(path)
    name = Digest("sha256", digest.hexdigest())
    return Descriptor(media_type=GZIP_LAYER_TYPE, digest=name, size=size), path


def _normalized(name: bytes) -> str:
    return posixpath.normpath(name.decode("utf-8", "surrogateescape"))
