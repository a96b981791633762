"""Small images for tests, and a check that an image is whole, independent of the code that made it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import zstandard

from lifecycle.cnb.digest import Digest
from lifecycle.oci.archive import ROOT, TarWriter
from lifecycle.oci.blob import Blob, compress_layer_blob, write_layer_blob
from lifecycle.oci.config import History, ImageConfig
from lifecycle.oci.descriptor import LAYER_TYPE, Descriptor
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.layout_writer import open_layout


def layer_of(blob: Blob, created_by: str = "test") -> Layer:
    return Layer(
        descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path, history=History(created_by=created_by)
    )


def file_layer(blobs_dir: Path, files: Mapping[str, str]) -> Layer:
    """A layer with files by their path."""

    def fill(archive: TarWriter) -> None:
        for name, content in files.items():
            archive.parents(PurePosixPath(name), ROOT)
            archive.file(PurePosixPath(name), content.encode(), ROOT)

    return layer_of(write_layer_blob(blobs_dir, fill))


def tar_layer(
    blobs_dir: Path, members: Sequence[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]], **options: int
) -> Layer:
    """A layer of members as someone else may have made them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:  # type: ignore[call-overload]
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return layer_of(compress_layer_blob(blobs_dir, io.BytesIO(buffer.getvalue())))


def endless_layer(blobs_dir: Path, size: int) -> Layer:
    """A layer, not compressed, of one file of zeros that takes no room here. Its diff id is wrong, which is found out at its end."""
    info = tarfile.TarInfo("zeros")
    info.size = size
    blobs_dir.mkdir(parents=True, exist_ok=True)
    path = blobs_dir / "endless"
    with path.open("wb") as stream:
        stream.write(info.tobuf())
        stream.truncate(size + 3 * tarfile.BLOCKSIZE)
    digest = Digest.of(b"")
    descriptor = Descriptor(media_type=LAYER_TYPE, digest=digest, size=path.stat().st_size)
    return Layer(descriptor=descriptor, diff_id=digest, path=path)


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def image_of(
    *layers: Layer, env: Sequence[str] = ("PATH=/usr/bin:/bin",), labels: Mapping[str, str] | None = None
) -> Image:
    config = ImageConfig(architecture="amd64", os="linux", user="1000:1000", env=tuple(env), labels=labels or {})
    return make_image(config, layers)


def write_layout(directory: Path, image: Image) -> str:
    """Write an image as an OCI layout; its location."""
    with open_layout(directory) as writer:
        writer.add(image)
        writer.tag(image, ())
    return f"oci:{directory}"


def content_of_blob(layer: Layer) -> bytes:
    """The tar, by other libraries than the product's where there are any."""
    content = layer.path.read_bytes()
    if layer.descriptor.media_type.endswith("+zstd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return gzip.decompress(content)


def names_in(layer: Layer) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content_of_blob(layer))) as archive:
        return [info.name + "/" * info.isdir() for info in archive]


def content_of(layer: Layer, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content_of_blob(layer))) as archive:
        stream = archive.extractfile(name)
        assert stream is not None
        return stream.read()


def validate_image(image: Image) -> None:
    """Documents, blobs and layers agree; archives hold no name twice, no child before its parent, one time only."""
    manifest, config = json.loads(image.manifest_bytes), json.loads(image.config_bytes)
    assert manifest["config"]["digest"] == f"sha256:{hashlib.sha256(image.config_bytes).hexdigest()}"
    assert manifest["config"]["size"] == len(image.config_bytes)
    assert [entry["digest"] for entry in manifest["layers"]] == [str(layer.descriptor.digest) for layer in image.layers]
    assert config["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in image.layers]
    made_layers = [entry for entry in config.get("history", []) if not entry.get("empty_layer")]
    assert len(made_layers) in (0, len(image.layers))
    for layer, entry in zip(image.layers, manifest["layers"], strict=True):
        blob = layer.path.read_bytes()
        assert entry["size"] == len(blob)
        assert entry["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
        plain = content_of_blob(layer)
        assert str(layer.diff_id) == f"sha256:{hashlib.sha256(plain).hexdigest()}"
        _validate_archive(plain)


def _validate_archive(plain: bytes) -> None:
    seen = set()
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        for info in archive:
            assert info.name not in seen
            parent = info.name.rpartition("/")[0]
            assert parent == "" or parent in seen, f"{info.name} before its parent"
            assert info.mtime == 315532801
            assert (info.uname, info.gname) == ("", "")
            assert not info.name.startswith("/")
            seen.add(info.name)
