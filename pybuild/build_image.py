"""The image that a build runs in where image extensions have changed the builder's: unpacked, and kept for the application's next build."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.toml import write_atomically
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.unpack import unpack_image
from pybuild.builder import Builder
from pybuild.builder.bases import read_base_image
from pybuild.builder.rootfs import add_mount_points
from pybuild.log import Log

_BLOBS_NAME, _ROOTFS_NAME, _ID_NAME = "blobs", "rootfs", "image-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildImage:
    """What builds run in, without `/cnb` and `/opt/pybuild`, which are mounted there."""

    image: Image
    rootfs: Path

    @property
    def env(self) -> Mapping[str, str]:
        """Of its commands."""
        return self.image.config.environment()


def builder_image(builder: Builder) -> Image:
    """Return what extensions change: the build base, with the environment that builds have."""
    base = read_base_image(builder.build_base)
    env = tuple(f"{name}={value}" for name, value in builder.env.items())
    return make_image(replace(base.config, env=env), base.layers)


def open_blobs(directory: Path) -> Path:
    """Where in `directory`, which `keep_build_image` keeps, new layers go."""
    blobs = directory / _BLOBS_NAME
    blobs.mkdir(parents=True, exist_ok=True)
    return blobs


def keep_build_image(image: Image, directory: Path, log: Log, *, deadline: Deadline = NEVER) -> BuildImage:
    """Return the image with its root file system in `directory`, which holds no other then.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be unpacked, or not by `deadline`.
        OSError: the disk is full.
    """
    marker, rootfs = directory / _ID_NAME, directory / _ROOTFS_NAME
    if _read(marker) != str(image.id):
        marker.unlink(missing_ok=True)
        remove_tree(rootfs)
        with log.step("Unpacking the build image"):
            unpack_image(image, rootfs, deadline=deadline)
            add_mount_points(rootfs)
        write_atomically(marker, str(image.id).encode())
    needed = {layer.path for layer in image.layers}
    for path in open_blobs(directory).iterdir():
        if path not in needed:
            path.unlink()
    return BuildImage(image=image, rootfs=rootfs)


def _read(path: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text("utf-8", "replace")
    return None
