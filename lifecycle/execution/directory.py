"""Writes an image as buildah loads it: a directory in the form that `dir:` of
https://github.com/containers/image/blob/main/docs/containers-transports.5.md has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lifecycle.oci.descriptor import OCI_TYPES
from lifecycle.oci.image import Image

_DOCKER_TYPES = {oci: docker for docker, oci in OCI_TYPES.items()}
# https://github.com/containers/image/blob/v5.24.0/directory/directory_dest.go
_DIRECTORY_VERSION = "Directory Transport Version: 1.1\n"


def write_directory(image: Image, directory: Path) -> Mapping[str, Path]:
    """Write all but the layers; return what these are called in the directory, and where they are.

    With the media types of Docker, because buildah drops what OCI has no word for (health checks, triggers, the shell) from an
    image that says it is one of OCI's.
    """
    directory.mkdir(parents=True)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {**image.manifest.config.render(), "mediaType": _DOCKER_TYPES[image.manifest.config.media_type]},
        "layers": [
            {
                "mediaType": _DOCKER_TYPES[layer.descriptor.media_type],
                "digest": str(layer.descriptor.digest),
                "size": layer.descriptor.size,
            }
            for layer in image.layers
        ],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (directory / "version").write_text(_DIRECTORY_VERSION, encoding="utf-8")
    (directory / image.manifest.config.digest.hex).write_bytes(image.config_bytes)
    return {layer.descriptor.digest.hex: layer.path.resolve() for layer in image.layers}
