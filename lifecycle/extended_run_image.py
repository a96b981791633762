"""The extended run image on its way from the extender to the exporter: `<extended>/run/<digest>`, an OCI layout that lacks the layers of
the run image below (platform.md, "extender" and "exporter").
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lifecycle.app_config import render_time
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.layer import remove_tree
from lifecycle.errors import ExportError
from lifecycle.execution.normalized import NormalizedLayer
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.compression import Compression, open_layer
from lifecycle.oci.config import History, parse_config
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.layout import INDEX_FILE, LAYOUT_FILE, blob_path, read_index
from lifecycle.oci.layout_writer import LAYOUT_CONTENT, index_entries
from lifecycle.oci.manifest import parse_manifest
from lifecycle.oci.verify import read_document, verify_content

_KIND = "run"


def write_extended(extended_dir: Path, image: Image, base: Image) -> Path:
    """Write the layout; return where it is. What an earlier build left there goes. Raises `OSError`."""
    remove_tree(extended_dir / _KIND)
    directory = extended_dir / _KIND / str(image.digest)
    known = {layer.descriptor.digest for layer in base.layers}
    contents = {image.digest: image.manifest_bytes, image.manifest.config.digest: image.config_bytes}
    for digest, content in contents.items():
        blob_path(directory, digest).parent.mkdir(parents=True, exist_ok=True)
        blob_path(directory, digest).write_bytes(content)
    for layer in image.layers:
        if layer.descriptor.digest not in known:
            shutil.copyfile(layer.path, blob_path(directory, layer.descriptor.digest))
    (directory / LAYOUT_FILE).write_bytes(LAYOUT_CONTENT)
    index = {"schemaVersion": 2, "manifests": index_entries(image, ())}
    (directory / INDEX_FILE).write_text(render_json(index), encoding="utf-8")
    return directory


def read_extended(extended_dir: Path, base: Image, blobs_dir: Path, *, created: str | None = None) -> Image:
    """Return the image whose base is `base`, the new layers put into `blobs_dir` with the times that all files of an image have.

    Raises:
        ExportError: there is no such image, or it has another base.
        OciError, ConfigurationError, OSError: it cannot be read.
    """
    directories = sorted(path for path in (extended_dir / _KIND).glob("*") if path.is_dir())
    if len(directories) != 1:
        raise ExportError(
            message=f"{extended_dir / _KIND} should have one extended run image, and has {len(directories)}",
            advice="start `extender` with `-kind run` between `restorer` and `exporter`",
        )
    directory = directories[0]
    (entry,) = read_index(directory)
    manifest = parse_manifest(_read_blob(directory, entry), source=str(entry.digest))
    config = parse_config(_read_blob(directory, manifest.config), source=str(manifest.config.digest))
    below = tuple(layer.diff_id for layer in base.layers)
    if config.diff_ids[: len(below)] != below or len(manifest.layers) != len(config.diff_ids):
        raise ExportError(message=f"the extended run image in {directory} was not made from {base.digest}")
    history = [one for one in config.history if not one.empty_layer]
    if len(history) != len(config.diff_ids):
        history = [History()] * len(config.diff_ids)
    layers = [
        _normalize(
            directory, descriptor, blobs_dir, History(created=created or render_time(None), created_by=one.created_by)
        )
        for descriptor, one in list(zip(manifest.layers, history, strict=True))[len(below) :]
    ]
    return make_image(config, (*base.layers, *layers))


def _normalize(directory: Path, descriptor: Descriptor, blobs_dir: Path, history: History) -> Layer:
    with blob_path(directory, descriptor.digest).open("rb") as stream:
        content = NormalizedLayer(open_layer(stream, descriptor.media_type))
        blob = compress_layer_blob(blobs_dir, content, compression=Compression.GZIP)
    return Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path, history=history)


def _read_blob(directory: Path, descriptor: Descriptor) -> bytes:
    path = blob_path(directory, descriptor.digest)
    return verify_content(read_document(path), descriptor, subject=str(path))
