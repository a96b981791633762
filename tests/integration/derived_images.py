"""Images made of another one: with files added, removed or replaced, and with another configuration."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from lifecycle.oci.archive import ROOT, TarWriter
from lifecycle.oci.blob import write_layer_blob
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from tests.lifecycle.oci.images import layer_of, member, tar_layer


def derive_image(
    base: Path | None,
    layout: Path,
    *,
    programs: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
    removed: tuple[str, ...] = (),
    **changes: Any,
) -> str:
    """Location of an image on that in the layout `base` (None: on nothing), written to `layout`.

    `programs` are scripts by their path, owned by root as all that is added; `changes` are fields of the image's config.
    """
    members: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]] = []
    for path, text in (programs or {}).items():
        members.append((member(path, mode=0o755), text.encode()))
    for path, text in (files or {}).items():
        members.append((member(path), text.encode()))
    for path, target in (links or {}).items():
        members.append(member(path, kind=tarfile.SYMTYPE, link=target))
    for path in removed:
        directory, _, name = path.rpartition("/")
        members.append(member(f"{directory}/.wh.{name}"))
    layers = [tar_layer(layout.with_name(f"{layout.name}-blobs"), members)] if members else []
    return write_image(layout, read_image(f"oci:{base}") if base else None, layers, **changes)


def shell_image(blobs_dir: Path, *programs: str) -> Image:
    """An image of some of this machine's programs with the libraries that they need."""
    files = {PurePosixPath("/bin", name): Path(shutil.which(name) or "").resolve() for name in programs}
    for path in list(files.values()):
        said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
        words = {word for word in said.split() if word.startswith("/")}
        files |= {PurePosixPath(word): Path(word).resolve() for word in words}

    def fill(archive: TarWriter) -> None:
        for target, source in sorted(files.items()):
            archive.parents(target, ROOT)
            archive.file(target, source.read_bytes(), ROOT, mode=0o755)

    config = ImageConfig(architecture="amd64", os="linux", user="1000:1000", env=("PATH=/usr/bin:/bin",))
    return make_image(config, [layer_of(write_layer_blob(blobs_dir, fill))])


def write_image(layout: Path, base: Image | None, layers: list[Layer], **changes: Any) -> str:
    """Location of the image of `layers` on `base`, with another config where `changes` has fields of it."""
    config = base.config if base else ImageConfig(architecture="amd64", os="linux", env=("PATH=/usr/bin:/bin",))
    image = make_image(replace(config, **changes), [*(base.layers if base else ()), *layers])
    with open_layout(layout) as writer:
        writer.add(image)
        writer.tag(image, ["test"])
    return f"oci:{layout}:test"
