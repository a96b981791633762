"""Descriptors: media type, digest and size of a blob, and their JSON
(https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.target import host_architecture
from lifecycle.cnb.toml import Table

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
GZIP_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+zstd"

# https://distribution.github.io/distribution/spec/manifest-v2-2/: the same things by their older names
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
OCI_TYPES: Mapping[str, str] = {
    DOCKER_INDEX_TYPE: INDEX_TYPE,
    DOCKER_MANIFEST_TYPE: MANIFEST_TYPE,
    "application/vnd.docker.container.image.v1+json": CONFIG_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIP_LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": ZSTD_LAYER_TYPE,
}

REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What an image of an index runs on."""

    os: str
    architecture: str
    variant: str | None = None


def host_platform() -> Platform:
    """Return the platform that images are for where nobody says another."""
    return Platform(os="linux", architecture=host_architecture())


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob as others refer to it. `size`: bytes as stored, so compressed."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None

    def render(self) -> dict[str, object]:
        """Return JSON values; absent ones are left out."""
        values: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.annotations:
            values["annotations"] = dict(self.annotations)
        if self.platform is not None:
            names = {
                "os": self.platform.os,
                "architecture": self.platform.architecture,
                "variant": self.platform.variant,
            }
            values["platform"] = {name: value for name, value in names.items() if value is not None}
        return values


def parse_descriptor(table: Table) -> Descriptor:
    """Return a descriptor; media types of Docker become those of OCI. Raises `ConfigurationError`, `InvalidValue`."""
    size = table.optional_integer("size")
    if size is None or size < 0:
        raise table.error("must be a number of bytes", key="size")
    media_type = table.string("mediaType")
    return Descriptor(
        media_type=OCI_TYPES.get(media_type, media_type),
        digest=Digest.parse(table.string("digest")),
        size=size,
        annotations=parse_string_map(table.table("annotations")),
        platform=_parse_platform(table.table("platform")) if "platform" in table else None,
    )


def parse_string_map(table: Table) -> Mapping[str, str]:
    """Return a table whose values are strings. Raises `ConfigurationError`."""
    return {key: table.optional_string(key) or "" for key in table.values}


def _parse_platform(table: Table) -> Platform:
    return Platform(
        os=table.optional_string("os") or "",
        architecture=table.optional_string("architecture") or "",
        variant=table.optional_string("variant") or None,
    )
