"""Layers that the applications of a machine share: an environment that one repository has, another one need not make again.

    <key>          what the layer is (JSON), for a key of everything that decides its bytes
    blobs/<hex>    the layer as it is in images

`lifecycle.cnb.shared` says when a key can be trusted. The other half of it is here: a key counts only when the first buildpack of the
group named it, and only in the first build of an application, because then no earlier code can have touched what it is
made from.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.buildpack import Descriptor as Buildpack
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.shared import NamedKey, layer_key, shared_layers_of
from lifecycle.cnb.toml import Table, read_regular_file, write_atomically
from lifecycle.export import ExportedImage, SharedLayer
from lifecycle.launch_facts import LAUNCH_FACTS_LABEL
from lifecycle.oci.descriptor import Descriptor, parse_descriptor
from lifecycle.oci.errors import OciError
from lifecycle.oci.image import Layer
from pybuild.builder.kept import mark_used

SHARED_LAYERS_IN_BUILD = PurePosixPath("/platform/layers")
_FORMAT = 1
_KEPT_S = 60 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLayers:
    """The directory of shared layers; it need not exist."""

    directory: Path

    def find(self, key: str) -> SharedLayer | None:
        """Return a layer that is whole, or `None`."""
        found = self._read(key)
        if found is not None:
            mark_used(self.directory / key)
            mark_used(found.layer.path)
        return found

    def share(self, named: NamedKey, owner: Buildpack, layers_path: PurePosixPath, exported: ExportedImage) -> None:
        """Keep a layer of `exported` for other applications, if its buildpack speaks of it, and it is what its key says.

        `owner` is the first buildpack of the group, and this the first build of the application.
        """
        if named.key is None or named.layer not in shared_layers_of(owner):
            return
        record = exported.metadata.layer(owner.id, named.layer)
        path = layers_path / owner.id.directory_name / named.layer
        if record is None or record.sha is None or layer_key(path, record.metadata) != named.key:
            return
        layer = next(one for one in exported.image.layers if str(one.diff_id) == record.sha)
        facts = parse_json(exported.image.config.labels[LAUNCH_FACTS_LABEL], source=LAUNCH_FACTS_LABEL)
        blob = self._blob(layer.descriptor.digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            # Blobs are never edited, so the layout of the application and the store can have the same file.
            os.link(layer.path, blob)
        content = _render(layer.descriptor, layer.diff_id, facts.table(record.sha).values)
        write_atomically(self.directory / named.key, content.encode())

    def forget_damaged(self) -> None:
        """Remove keys without a whole layer: a buildpack that sees a key leaves the layer to us."""
        for path in self.directory.glob("*"):
            if path.is_file() and self._read(path.name) is None:
                path.unlink(missing_ok=True)

    def forget_unused(self) -> None:
        """Remove what no build has made or taken for long."""
        for path in (*self.directory.glob("*"), *self.directory.glob("blobs/*")):
            if path.is_file() and time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink(missing_ok=True)

    def _read(self, key: str) -> SharedLayer | None:
        try:
            text = read_regular_file(self.directory / key, follow_links=False).decode()
            return self._parse(parse_json(text, source=key))
        except (ConfigurationError, InvalidValue, OciError, UnicodeDecodeError):
            return None

    def _blob(self, digest: Digest) -> Path:
        return self.directory / "blobs" / digest.hex

    def _parse(self, document: Table) -> SharedLayer | None:
        if document.optional_integer("format") != _FORMAT:
            return None
        descriptor = parse_descriptor(document.table("descriptor"))
        blob = self._blob(descriptor.digest)
        if not blob.is_file() or blob.stat().st_size != descriptor.size:
            return None
        layer = Layer(descriptor=descriptor, diff_id=Digest.parse(document.string("diffID")), path=blob)
        return SharedLayer(layer=layer, environment=document.table("environment"))


def _render(descriptor: Descriptor, diff_id: Digest, environment: Mapping[str, object]) -> str:
    return render_json(
        {"format": _FORMAT, "descriptor": descriptor.render(), "diffID": str(diff_id), "environment": environment}
    )
