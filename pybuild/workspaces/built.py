"""The record of a build as an artifact: which image it made of which version, and of what it was made.

build-<key>              the record of a lock on a base with a builder: never another one
image-<key>              its image
_v7.built.<builder>      the record that version 7 was last built to by a builder
_v7.built                by any builder
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.oci.artifact import Artifact, ArtifactFile, make_artifact
from lifecycle.oci.errors import UnsupportedImage

_BUILD_TYPE = "application/vnd.pybuild.build.v1"
_RECORD_TYPE, _TEXT_TYPE = "application/vnd.pybuild.build.record.v1+json", "text/plain"
_RECORD, _DOCKERFILE, _LOCKS = "build.json", "Dockerfile", "locks/"
_KEY_LENGTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKey:
    """What decides what an image is: equal keys, equal images."""

    locks: Mapping[str, Mapping[str, str]]
    """Texts by file name, by buildpack."""
    base: str
    """Digest of what it stands on."""
    builder: str
    """Key of the builder: which tools, interpreters and buildpacks there are."""
    platform: str
    other: str
    """Digest of what the definition says beside packages."""

    @property
    def hex(self) -> str:
        """A name of it."""
        values = {
            "locks": self.locks,
            "base": self.base,
            "builder": self.builder,
            "platform": self.platform,
            "other": self.other,
        }
        return hashlib.sha256(render_json(values).encode()).hexdigest()[:_KEY_LENGTH]

    @property
    def record_tag(self) -> str:
        """Tag of the record."""
        return f"build-{self.hex}"

    @property
    def image_tag(self) -> str:
        """Tag of the image."""
        return f"image-{self.hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """What a build has made."""

    key: BuildKey
    image: Digest
    sbom: Digest | None
    """Of the layer with the bills of materials, as it is stored, where a buildpack has written any."""
    dockerfile: str | None
    """An equivalent Dockerfile."""
    created: str
    """RFC 3339."""


def built_tag(version: int, builder: str | None = None) -> str:
    """Return the tag of the record of the last build of a version, by one builder or by any."""
    return f"_v{version}.built" if builder is None else f"_v{version}.built.{builder}"


def make_record(record: BuildRecord) -> Artifact:
    """Return the artifact of a record."""
    key = record.key
    values = {
        "base": key.base,
        "builder": key.builder,
        "platform": key.platform,
        "other": key.other,
        "image": str(record.image),
        "sbom": None if record.sbom is None else str(record.sbom),
        "created": record.created,
    }
    files = [ArtifactFile(name=_RECORD, media_type=_RECORD_TYPE, content=render_json(values).encode())]
    if record.dockerfile is not None:
        files.append(ArtifactFile(name=_DOCKERFILE, media_type=_TEXT_TYPE, content=record.dockerfile.encode()))
    for buildpack, texts in sorted(key.locks.items()):
        for name, text in sorted(texts.items()):
            files.append(ArtifactFile(name=f"{_LOCKS}{buildpack}/{name}", media_type=_TEXT_TYPE, content=text.encode()))
    return make_artifact(_BUILD_TYPE, files, annotations={"org.opencontainers.image.created": record.created})


def read_record(artifact: Artifact, *, source: str) -> BuildRecord:
    """Return the record that an artifact is. Raises `UnsupportedImage` where it is none, `ConfigurationError`, `InvalidValue`."""
    content = artifact.file(_RECORD)
    if artifact.manifest.artifact_type != _BUILD_TYPE or content is None:
        raise UnsupportedImage(source, "is no record of a build")
    table = parse_json(content.decode("utf-8", "surrogateescape"), source=source)
    locks: dict[str, dict[str, str]] = {}
    for file in artifact.files:
        if file.name.startswith(_LOCKS):
            # An ID has slashes itself.
            buildpack, _, name = file.name.removeprefix(_LOCKS).rpartition("/")
            locks.setdefault(buildpack, {})[name] = file.content.decode("utf-8", "replace")
    dockerfile, sbom = artifact.file(_DOCKERFILE), table.optional_string("sbom")
    return BuildRecord(
        key=BuildKey(
            locks=locks,
            base=table.string("base"),
            builder=table.string("builder"),
            platform=table.string("platform"),
            other=table.string("other"),
        ),
        image=Digest.parse(table.string("image")),
        sbom=None if sbom is None else Digest.parse(sbom),
        dockerfile=None if dockerfile is None else dockerfile.decode("utf-8", "replace"),
        created=table.string("created"),
    )
