"""Image manifests (https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lifecycle.cnb.jsontext import render_json
from lifecycle.oci.descriptor import MANIFEST_TYPE, Descriptor, parse_descriptor, parse_string_map
from lifecycle.oci.document import parse_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The parts of an image: its config and its layers, base first; of an artifact, its files."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    """Only artifacts have one."""

    def render(self) -> bytes:
        """Return the document; the same values give the same bytes."""
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": self.artifact_type,
            "config": self.config.render(),
            "layers": [layer.render() for layer in self.layers],
            "annotations": dict(self.annotations) or None,
        }
        return render_json(document).encode("utf-8", "surrogateescape")


def parse_manifest(content: bytes, *, source: str) -> Manifest:
    """Return the manifest that `content` is. Raises `ConfigurationError`, `InvalidValue`."""
    document = parse_document(content, source=source)
    if document.optional_integer("schemaVersion") != 2:
        raise document.error("must be 2", key="schemaVersion")
    if "manifests" in document:
        # CVE-2021-41190: a document that is a manifest to one reader and an index to another
        raise document.error("stands in a manifest, which makes it an index as well", key="manifests")
    return Manifest(
        config=parse_descriptor(document.table("config")),
        layers=tuple(parse_descriptor(table) for table in document.tables("layers")),
        annotations=parse_string_map(document.table("annotations")),
        artifact_type=document.optional_string("artifactType"),
    )
