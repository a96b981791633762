"""Layers made of trees that come back with each build, interpreters and parts of environments: one blob for all of the machine.

    <key>          the layer (JSON) that was made of the tree of this key (`lifecycle.recognition`)
    blobs/<hex>    the layer as it is in images

Only the pybuild process writes here, and no build sees it. Whoever takes a layer has the same tree: its files are the very ones that
the layer was made of, or their archive has the same hash.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import Table, read_regular_file, write_atomically
from lifecycle.oci.descriptor import parse_descriptor
from lifecycle.oci.errors import OciError
from lifecycle.oci.image import Layer
from lifecycle.oci.verify import verify_file
from pybuild.builder.kept import mark_used

_KEPT_S = 60 * 24 * 3600


def keep_blob(layer: Layer, blobs: Path) -> None:
    """Put the blob of a layer into the directory of blobs."""
    blobs.mkdir(parents=True, exist_ok=True)
    # Blobs are never edited, so the layout of the application and the store can have the same file.
    with contextlib.suppress(FileExistsError):
        os.link(layer.path, blobs / layer.descriptor.digest.hex)


def render_layer(layer: Layer) -> Mapping[str, object]:
    """Return what `parse_layer` reads."""
    return {"descriptor": layer.descriptor.render(), "diffID": str(layer.diff_id)}


def parse_layer(table: Table, blobs: Path) -> Layer | None:
    """Return a layer whose blob is in `blobs`, if it is whole. Raises `ConfigurationError`, `InvalidValue`, `OciError`."""
    descriptor = parse_descriptor(table.table("descriptor"))
    path = blobs / descriptor.digest.hex
    if not path.is_file() or path.stat().st_size != descriptor.size:
        return None
    return Layer(descriptor=descriptor, diff_id=Digest.parse(table.string("diffID")), path=path)


def forget_unused(directory: Path) -> None:
    """Remove what no build has made or taken for long from a directory of keys and blobs."""
    for path in (*directory.glob("*"), *directory.glob("blobs/*")):
        # Another build may do the same.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLayers:
    """The directory of these layers; it need not exist."""

    directory: Path

    def find(self, key: str) -> Layer | None:
        """Return the layer, or `None`. Its blob was read and is whole; one that is not is removed."""
        try:
            text = read_regular_file(self.directory / key, follow_links=False).decode()
            layer = parse_layer(parse_json(text, source=key), self.directory / "blobs")
        except (ConfigurationError, InvalidValue, OciError, UnicodeDecodeError):
            return None
        if layer is None:
            return None
        try:
            verify_file(layer.path, layer.descriptor, subject=str(layer.path))
        except (OciError, OSError):
            with contextlib.suppress(OSError):
                layer.path.unlink()
            return None
        with contextlib.suppress(FileNotFoundError):
            mark_used(self.directory / key)
            mark_used(layer.path)
        return layer

    def keep(self, made: Mapping[str, Layer]) -> None:
        """Keep layers, by the keys of their trees, as far as that is possible."""
        # What cannot be written, or goes while it is, is made again.
        with contextlib.suppress(OSError):
            for key, layer in made.items():
                keep_blob(layer, self.directory / "blobs")
                path, content = self.directory / key, render_json(render_layer(layer)).encode()
                if not path.is_file() or path.read_bytes() != content:
                    write_atomically(path, content)

    def forget_unused(self) -> None:
        """Remove what no build has made or taken for long."""
        forget_unused(self.directory)
