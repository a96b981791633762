"""Buildpacks that one build brings along: shown to it beside the builder's, which stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lifecycle.cnb.buildpack import Descriptor
from pybuild.builder import Builder
from pybuild.builder.buildpack_files import copy_buildpack
from pybuild.builder.package import CNB
from pybuild.engines.sandbox import Mount

_BUILDPACKS = CNB / "buildpacks"


def with_buildpacks(builder: Builder, brought: Sequence[Descriptor], directory: Path) -> Builder:
    """The builder with `brought` among its buildpacks, in place of those of the same id and version.

    `directory`, which must not exist, holds what they are shown by until the build ends.
    """
    if not brought:
        return builder
    copies = directory / "copies"
    shown = {str(one): one for one in builder.buildpacks}
    for one in brought:
        copied = copies / one.id.directory_name / one.version
        if not copied.exists():
            copied.parent.mkdir(parents=True, exist_ok=True)
            copy_buildpack(one, copied)
        shown[str(one)] = replace(one, directory=copied)
    places = directory / "places"
    mounts = [Mount(source=places, target=_BUILDPACKS)]
    for one in shown.values():
        # What is mounted needs something to be mounted on.
        (places / one.id.directory_name / one.version).mkdir(parents=True)
        mounts.append(Mount(source=one.directory, target=_BUILDPACKS / one.id.directory_name / one.version))
    return replace(builder, buildpacks=tuple(shown.values()), mounts=(*builder.mounts, *mounts))
