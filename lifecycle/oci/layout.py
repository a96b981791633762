"""Reads images: from OCI image layouts (https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md) in directories and
archives, and from what `docker save` writes. Sizes and digests are checked while reading, links are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.oci.config import parse_config
from lifecycle.oci.descriptor import (
    GZIP_LAYER_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    REF_NAME_ANNOTATION,
    ZSTD_LAYER_TYPE,
    Descriptor,
    Platform,
    host_platform,
    parse_descriptor,
)
from lifecycle.oci.docker_archive import read_docker_archive
from lifecycle.oci.document import SIZE_LIMIT, parse_document
from lifecycle.oci.errors import BrokenImage, ImageNotFound, UnsupportedImage
from lifecycle.oci.image import Image, assemble_image
from lifecycle.oci.image_index import Content, ImageIndex
from lifecycle.oci.location import Location, Transport, parse_location
from lifecycle.oci.manifest import parse_manifest
from lifecycle.oci.tar import MemberKind, TarReader
from lifecycle.oci.verify import open_regular, read_document, verify_content, verify_file

LAYOUT_FILE, INDEX_FILE, BLOBS_DIR = "oci-layout", "index.json", "blobs"
# Indexes may hold indexes; nobody needs more than images of several platforms under one name.
_INDEX_DEPTH = 4
_LAYER_TYPES = frozenset({LAYER_TYPE, GZIP_LAYER_TYPE, ZSTD_LAYER_TYPE})
_BLOB_NAME = re.compile(rb"blobs/(?:sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})")


def read_image(location: Location | str, *, scratch: Path | None = None, platform: Platform | None = None) -> Image:
    """Return the image at `location`, a text such as `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME]`.

    Layer blobs stay where they are; those of archives are put into `scratch`, which archives therefore need, and which must
    live as long as the image. Of several platforms `platform` is taken, this machine's where that is not said.

    Raises:
        OciError, ConfigurationError, InvalidValue: there is no such image, it is damaged, or of a kind that is not read here.
    """
    place = parse_location(location) if isinstance(location, str) else location
    wanted = platform or host_platform()
    if place.transport is Transport.OCI:
        return _read_layout(place.path, place, wanted)
    if scratch is None:
        raise ValueError(f"{place} is an archive: reading it needs a scratch directory")
    if place.transport is Transport.OCI_ARCHIVE:
        _unpack_archive(place.path, scratch)
        return _read_layout(scratch, place, wanted)
    return read_docker_archive(place.path, place.name, scratch)


def read_index(directory: Path) -> tuple[Descriptor, ...]:
    """Return the entries of a layout's `index.json`. Raises `OciError`, `ConfigurationError`, `InvalidValue`."""
    marker = directory / LAYOUT_FILE
    if not directory.exists():
        raise ImageNotFound(str(directory), "is not there")
    if not directory.is_dir():
        advice = "write `oci-archive:` or `docker-archive:` before the name of an archive"
        raise ImageNotFound(str(directory), "is not a directory, as an OCI image layout is", advice)
    if not marker.exists():
        raise ImageNotFound(str(directory), f"is not an OCI image layout: it has no file `{LAYOUT_FILE}`")
    version = parse_document(read_document(marker), source=marker.name).string("imageLayoutVersion")
    if not version.startswith("1."):
        raise UnsupportedImage(str(directory), f"is an OCI image layout of version {version}, which is not known here")
    path = directory / INDEX_FILE
    index = parse_document(read_document(path), source=str(path))
    return tuple(parse_descriptor(table) for table in index.tables("manifests"))


def read_content(place: Location) -> Content:
    """Return what `place`, in a layout, leads to: an image, or an index of several with all of them. Raises as `read_image` does."""
    entry = find_image(place)
    if entry.media_type != INDEX_TYPE:
        return _read_entry(place.path, entry, place)
    content = _read_blob(place.path, entry)
    tables = parse_document(content, source=str(entry.digest)).tables("manifests")
    images = tuple(_read_entry(place.path, parse_descriptor(table), place) for table in tables)
    return ImageIndex(images=images, content=content)


def find_image(place: Location) -> Descriptor:
    """Return the entry of `index.json` that `place`, in a layout, leads to. Raises as `read_image` does."""
    return _choose(read_index(place.path), place, host_platform())


def blob_path(directory: Path, digest: Digest) -> Path:
    """Return where a layout in `directory` has the blob."""
    return directory / BLOBS_DIR / digest.algorithm / digest.hex


def referenced_digests(directory: Path, entries: Sequence[Descriptor]) -> frozenset[Digest]:
    """Return the digests of every blob that `entries` lead to. Raises `OciError`, `ConfigurationError`, `InvalidValue`."""
    found: set[Digest] = set()
    pending = list(entries)
    while pending:
        entry = pending.pop()
        if entry.digest in found:
            continue
        found.add(entry.digest)
        if entry.media_type == INDEX_TYPE:
            content = _read_blob(directory, entry)
            tables = parse_document(content, source=str(entry.digest)).tables("manifests")
            pending.extend(parse_descriptor(table) for table in tables)
        elif entry.media_type == MANIFEST_TYPE:
            manifest = parse_manifest(_read_blob(directory, entry), source=str(entry.digest))
            found.update(part.digest for part in (manifest.config, *manifest.layers))
    return frozenset(found)


def _read_layout(directory: Path, place: Location, wanted: Platform) -> Image:
    entry = _choose(read_index(directory), place, wanted)
    for _ in range(_INDEX_DEPTH):
        if entry.media_type != INDEX_TYPE:
            break
        index = parse_document(_read_blob(directory, entry), source=str(entry.digest))
        entries = tuple(parse_descriptor(table) for table in index.tables("manifests"))
        entry = _choose_platform(entries, place, wanted)
    return _read_entry(directory, entry, place)


def _read_entry(directory: Path, entry: Descriptor, place: Location) -> Image:
    if entry.media_type != MANIFEST_TYPE:
        raise UnsupportedImage(str(place), f"leads to `{entry.media_type}`, which is not an image")
    manifest_bytes = _read_blob(directory, entry)
    manifest = parse_manifest(manifest_bytes, source=str(entry.digest))
    config_bytes = _read_blob(directory, manifest.config)
    config = parse_config(config_bytes, source=str(manifest.config.digest))
    paths = [blob_path(directory, layer.digest) for layer in manifest.layers]
    for layer, path in zip(manifest.layers, paths, strict=True):
        if layer.media_type not in _LAYER_TYPES:
            raise UnsupportedImage(
                str(place), f"has a layer of the type `{layer.media_type}`; gzip and zstd are read here"
            )
        verify_file(path, layer, subject=f"layer in {place}")
    return assemble_image(
        manifest=manifest,
        config=config,
        paths=paths,
        manifest_bytes=manifest_bytes,
        config_bytes=config_bytes,
        source=str(place),
    )


def _choose(entries: Sequence[Descriptor], place: Location, wanted: Platform) -> Descriptor:
    names = {entry.annotations.get(REF_NAME_ANNOTATION) for entry in entries}
    if place.name is not None:
        found = [entry for entry in entries if place.name in _names_of(entry)]
        if not found:
            known = ", ".join(f"`{name}`" for name in sorted(name for name in names if name)) or "none with a name"
            raise ImageNotFound(str(place), f"has no image of that name; there are: {known}")
        return _choose_platform(found, place, wanted)
    # The same image under several names is one image.
    distinct = {entry.digest: entry for entry in entries}
    if not distinct:
        raise ImageNotFound(str(place), "has no image")
    if len(distinct) > 1 and len(names) > 1:
        known = ", ".join(f"`{name}`" for name in sorted(name for name in names if name))
        raise ImageNotFound(str(place), f"has several images: {known}", "add a colon and the name of the one to take")
    return _choose_platform(tuple(distinct.values()), place, wanted)


def _names_of(entry: Descriptor) -> tuple[str, ...]:
    """The name of an entry, and that with its digest, as it is printed when an image was put there."""
    name = entry.annotations.get(REF_NAME_ANNOTATION)
    return () if name is None else (name, f"{name}@{entry.digest}")


def _choose_platform(entries: Sequence[Descriptor], place: Location, wanted: Platform) -> Descriptor:
    if len(entries) == 1:
        return entries[0]
    for entry in entries:
        if entry.platform is not None and (entry.platform.os, entry.platform.architecture) == (
            wanted.os,
            wanted.architecture,
        ):
            return entry
    raise ImageNotFound(str(place), f"has no image for {wanted.os}/{wanted.architecture}")


def _read_blob(directory: Path, descriptor: Descriptor) -> bytes:
    path = blob_path(directory, descriptor.digest)
    return verify_content(read_document(path), descriptor, subject=str(path))


def _unpack_archive(path: Path, scratch: Path) -> None:
    """Put the files of a layout that is an archive into `scratch`; what does not belong to a layout is left out."""
    with open_regular(path) as stream:
        reader = TarReader(stream, source=str(path))
        for member in reader:
            name = member.name.removeprefix(b"./")
            if member.kind is not MemberKind.FILE:
                continue
            if name in (LAYOUT_FILE.encode(), INDEX_FILE.encode()):
                (scratch / name.decode()).write_bytes(reader.read(limit=SIZE_LIMIT))
            elif _BLOB_NAME.fullmatch(name):
                target = scratch / name.decode()
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as output:
                    reader.copy(output.write)
    if not (scratch / INDEX_FILE).exists():
        raise BrokenImage(str(path), f"is not an OCI archive: it has no `{INDEX_FILE}`")
