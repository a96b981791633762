"""Artifacts: a few small files under a name, kept where images are
(https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage).

Each file is a layer that has its name in the annotation which oras reads and writes: `oras pull` makes files of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lifecycle.cnb.digest import Digest
from lifecycle.oci.descriptor import MANIFEST_TYPE, Descriptor
from lifecycle.oci.document import SIZE_LIMIT
from lifecycle.oci.errors import UnsupportedImage
from lifecycle.oci.manifest import Manifest, parse_manifest

TITLE_ANNOTATION = "org.opencontainers.image.title"
EMPTY_CONTENT = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_FILE_LIMIT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """A file of an artifact."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        """Descriptor of the layer that it is."""
        digest = Digest.of(self.content)
        annotations = {TITLE_ANNOTATION: self.name}
        return Descriptor(media_type=self.media_type, digest=digest, size=len(self.content), annotations=annotations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact, whole and in memory. `manifest_bytes` are kept to the byte: their digest is its name."""

    manifest: Manifest
    manifest_bytes: bytes = field(repr=False)
    files: tuple[ArtifactFile, ...]

    @property
    def digest(self) -> Digest:
        """Digest of the manifest."""
        return Digest.of(self.manifest_bytes)

    @property
    def descriptor(self) -> Descriptor:
        """Descriptor of the manifest, as an index holds it."""
        return Descriptor(media_type=MANIFEST_TYPE, digest=self.digest, size=len(self.manifest_bytes))

    def file(self, name: str) -> bytes | None:
        """Return the content of the file `name`, if there is one."""
        return next((file.content for file in self.files if file.name == name), None)


def make_artifact(
    artifact_type: str, files: Sequence[ArtifactFile], *, annotations: Mapping[str, str] | None = None
) -> Artifact:
    """Return the artifact of `files`, in their order; the same values give the same bytes."""
    config = Descriptor(media_type=_EMPTY_TYPE, digest=Digest.of(EMPTY_CONTENT), size=len(EMPTY_CONTENT))
    manifest = Manifest(
        config=config,
        layers=tuple(file.descriptor for file in files),
        annotations=annotations or {},
        artifact_type=artifact_type,
    )
    return Artifact(manifest=manifest, manifest_bytes=manifest.render(), files=tuple(files))


def read_artifact(manifest_bytes: bytes, read_blob: Callable[[Descriptor], bytes], *, source: str) -> Artifact:
    """Return the artifact of a manifest; `read_blob` gets each layer, verified.

    Raises:
        OciError, ConfigurationError, InvalidValue: it is none, or more than what is read into memory.
    """
    manifest = parse_manifest(manifest_bytes, source=source)
    if manifest.artifact_type is None:
        raise UnsupportedImage(source, "is no artifact: its manifest has no `artifactType`")
    if len(manifest.layers) > _FILE_LIMIT or sum(layer.size for layer in manifest.layers) > SIZE_LIMIT:
        raise UnsupportedImage(source, f"is an artifact of more than {_FILE_LIMIT} files or {SIZE_LIMIT} bytes")
    files = tuple(
        ArtifactFile(
            name=layer.annotations.get(TITLE_ANNOTATION, ""), media_type=layer.media_type, content=read_blob(layer)
        )
        for layer in manifest.layers
    )
    return Artifact(manifest=manifest, manifest_bytes=manifest_bytes, files=files)
