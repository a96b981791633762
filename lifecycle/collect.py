"""Bills of materials after a build: checked against what the buildpack declares, collected below `<layers>/sbom`
(platform.md, "Build", and buildpack.md, "Bill-of-Materials").
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from lifecycle.cnb.buildpack import BuildpackId, Descriptor
from lifecycle.cnb.layer import LayerTypes, read_layers
from lifecycle.cnb.sbom import MEDIA_TYPES, SbomFile, find_sbom_files
from lifecycle.errors import BuildOutputError

# `launch.sbom.<ext>` and `build.sbom.<ext>` are about everything that the buildpack does, not about a layer.
_WHOLE_BUILDPACK = frozenset({"launch", "build"})


def check_sbom_files(descriptor: Descriptor, own_layers: Path) -> None:
    """Raise `BuildOutputError` when a document is of a format that is unknown or that the buildpack does not declare."""
    for sbom in find_sbom_files(own_layers):
        media_type = MEDIA_TYPES.get(sbom.extension)
        if media_type is None:
            known = ", ".join(f"`{extension}`" for extension in MEDIA_TYPES)
            message = f"`{sbom.path.name}` is no known kind of bill of materials: {known}"
            raise BuildOutputError(buildpack=descriptor.id, message=message)
        if media_type not in descriptor.sbom_formats:
            message = f"`{sbom.path.name}` is {media_type}, which its buildpack.toml does not list in `sbom-formats`"
            raise BuildOutputError(buildpack=descriptor.id, message=message)


def collect_sbom_files(buildpack: BuildpackId, layers_dir: Path) -> None:
    """Copy the documents of one buildpack below `<layers>/sbom`."""
    own_layers = layers_dir / buildpack.directory_name
    types = {layer.name: layer.file.types for layer in read_layers(own_layers)}
    for sbom in find_sbom_files(own_layers):
        for kind in _kinds(sbom, types.get(sbom.subject)):
            directory = layers_dir / "sbom" / kind / buildpack.directory_name
            if sbom.subject not in _WHOLE_BUILDPACK:
                directory /= sbom.subject
            directory.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sbom.path, directory / f"sbom.{sbom.extension}")


def _kinds(sbom: SbomFile, types: LayerTypes | None) -> Iterator[str]:
    """Yield the directories a document goes to; none when its layer does not exist."""
    if sbom.subject in _WHOLE_BUILDPACK:
        yield sbom.subject
    elif types:
        yield "launch" if types.launch else "build"
        if types.cache:
            yield "cache"
