"""Layers that the applications of a machine share: an environment that one repository has, another one need not make again.

    <key>          what the layer and its parts are (JSON), and its bill of materials, for a key of everything that decides their bytes
    blobs/<hex>    a layer, or part of one, as it is in images

`lifecycle.cnb.shared` says when a key can be trusted. The other half of it is here: a key counts only when the first buildpack of the
group named it, and only in the first build of an application, because then no earlier code can have touched what it is
made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.cnb.buildpack import Descriptor as Buildpack
from lifecycle.cnb.errors import ConfigurationError, InvalidValue
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.parts import parts_of, without_parts
from lifecycle.cnb.sbom import read_collected_cyclonedx
from lifecycle.cnb.shared import NamedKey, layer_key, shared_layers_of
from lifecycle.cnb.toml import Table, read_regular_file, write_atomically
from lifecycle.export import ExportedImage, SharedLayer
from lifecycle.launch_facts import LAUNCH_FACTS_LABEL
from lifecycle.oci.errors import OciError
from pybuild.builder.kept import mark_used
from pybuild.made_layers import forget_unused, keep_blob, parse_layer, render_layer

SHARED_LAYERS_IN_BUILD = PurePosixPath("/platform/layers")
_FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLayers:
    """The directory of shared layers; it need not exist."""

    directory: Path

    @property
    def _blobs(self) -> Path:
        return self.directory / "blobs"

    def find(self, key: str) -> SharedLayer | None:
        """Return a layer that is whole, or `None`."""
        found = self._read(key)
        if found is not None:
            mark_used(self.directory / key)
            for layer in (found.layer, *found.parts.values()):
                mark_used(layer.path)
        return found

    def share(
        self,
        named: NamedKey,
        owner: Buildpack,
        layers_path: PurePosixPath,
        exported: ExportedImage,
        *,
        layers_dir: Path,
    ) -> None:
        """Keep a layer of `exported` for other applications, if its buildpack speaks of it, and it is what its key says.

        `owner` is the first buildpack of the group, and this the first build of the application. `layers_dir`, which is called
        `layers_path` in the image, has the bills of materials.
        """
        if named.key is None or named.layer not in shared_layers_of(owner):
            return
        record = exported.metadata.layer(owner.id, named.layer)
        path = layers_path / owner.id.directory_name / named.layer
        if record is None or record.sha is None or layer_key(path, without_parts(record.metadata)) != named.key:
            return
        facts = parse_json(exported.image.config.labels[LAUNCH_FACTS_LABEL], source=LAUNCH_FACTS_LABEL)
        records = {part: exported.metadata.layer(owner.id, part) for part in parts_of(record.metadata)}
        by_sha = {str(layer.diff_id): layer for layer in exported.image.layers}
        parts = {part: by_sha[one.sha] for part, one in records.items() if one is not None and one.sha is not None}
        shared = SharedLayer(layer=by_sha[record.sha], parts=parts, environment=facts.table(record.sha))
        for layer in (shared.layer, *shared.parts.values()):
            keep_blob(layer, self._blobs)
        sbom = read_collected_cyclonedx(layers_dir, owner.id.directory_name, named.layer)
        write_atomically(self.directory / named.key, _render(shared, sbom).encode())

    def forget_damaged(self) -> None:
        """Remove keys without a whole layer: a buildpack that sees a key leaves the layer to us."""
        for path in self.directory.glob("*"):
            if path.is_file() and self._read(path.name) is None:
                path.unlink(missing_ok=True)

    def forget_unused(self) -> None:
        """Remove what no build has made or taken for long."""
        forget_unused(self.directory)

    def _read(self, key: str) -> SharedLayer | None:
        try:
            text = read_regular_file(self.directory / key, follow_links=False).decode()
            return self._parse(parse_json(text, source=key))
        except (ConfigurationError, InvalidValue, OciError, UnicodeDecodeError):
            return None

    def _parse(self, document: Table) -> SharedLayer | None:
        if document.optional_integer("format") != _FORMAT:
            return None
        parts = document.table("parts")
        layer = parse_layer(document.table("layer"), self._blobs)
        found = {name: parse_layer(parts.table(name), self._blobs) for name in parts.values}
        whole = {name: part for name, part in found.items() if part is not None}
        if layer is None or len(whole) != len(found):
            return None
        return SharedLayer(layer=layer, parts=whole, environment=document.table("environment"))


def _render(shared: SharedLayer, sbom: str | None) -> str:
    return render_json(
        {
            "format": _FORMAT,
            "layer": render_layer(shared.layer),
            "parts": {name: render_layer(part) for name, part in shared.parts.items()},
            "environment": shared.environment.values,
            "sbom": sbom,
        }
    )
