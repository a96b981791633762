"""Builds that are exported, with a tiny run image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.analyze import PreviousImage, RunImage, analyze
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.metadata import BuildMetadata
from lifecycle.export import ExportedImage, ExportRequest, export
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import Image, Layer, make_image
from tests.lifecycle.environments import add_distribution
from tests.lifecycle.oci.images import file_layer, validate_image
from tests.lifecycle.world import World

LAYER = """
mkdir -p "$CNB_LAYERS_DIR/venv/bin" "$CNB_LAYERS_DIR/venv/env" "$CNB_LAYERS_DIR/venv/env.launch/web"
echo tool > "$CNB_LAYERS_DIR/venv/bin/tool"
printf yes > "$CNB_LAYERS_DIR/venv/env.launch/FLAG"
printf only > "$CNB_LAYERS_DIR/venv/env.launch/web/FLAG"
printf '[types]\\nlaunch = true\\n[metadata]\\nlock = "1"\\n' > "$CNB_LAYERS_DIR/venv.toml"
"""
REUSED = 'printf \'[types]\\nlaunch = true\\n[metadata]\\nlock = "2"\\n\' > "$CNB_LAYERS_DIR/venv.toml"\n'

BY_PACKAGES = "printf '[pybuild]\\nby-packages = true\\n' >> \"$CNB_LAYERS_DIR/venv.toml\"\n"
LARGE = {"numpy": 20 << 20, "pandas": 15 << 20, "small": 1000, "tiny": 10}


@dataclass
class Exporter:
    """A run image, and builds on it."""

    world: World
    run_image: Image
    previous: Image | None = None
    run_image_name: str = "docker.io/library/run:1"

    def export(self, *elements: GroupElement, **options: Any) -> ExportedImage:
        """Build with the buildpacks and export; the outcome is the previous image of the next call."""
        remove_tree(self.world.layers)
        self.world.layers.mkdir()
        build = self.world.build(*elements)
        return self.export_built(build, elements, **options)

    def export_built(self, build: BuildMetadata, elements: Sequence[GroupElement], **options: Any) -> ExportedImage:
        before = self.previous
        previous = None if before is None else PreviousImage(reference="previous", labels=before.config.labels)
        config = self.run_image.config
        run_image = RunImage(
            name=self.run_image_name, reference="run@digest", os=config.os, architecture=config.architecture
        )
        request = ExportRequest(
            layers_dir=self.world.layers,
            app_dir=self.world.app,
            group=Group(elements=tuple(elements)),
            build=build,
            analyzed=analyze(previous=previous, run_image=run_image, log=self.world.log),
            run_image=self.run_image,
            previous=self.previous,
            blobs_dir=self.world.root / "blobs",
            **options,
        )
        exported = export(request, self.world.log)
        validate_image(exported.image)
        self.previous = exported.image
        return exported


def make_exporter(world: World) -> Exporter:
    """Builds in `world`, which has an application."""
    base = file_layer(world.root / "base", {"etc/os-release": "ID=debian\n"})
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        user="1000:1000",
        env=("PATH=/usr/bin:/bin", "LANG=C.UTF-8"),
        cmd=("bash",),
        labels={"io.buildpacks.base.distro.name": "debian"},
        exposed_ports=("80/tcp",),
    )
    (world.app / "main.py").write_text("print(1)\n")
    return Exporter(world=world, run_image=make_image(config, [base]))


def by_name(exported: ExportedImage) -> dict[str, Layer]:
    return {described.name: layer for described, layer in zip(exported.layers, exported.image.layers, strict=True)}


def make_environment(exporter: Exporter, sizes: Mapping[str, int]) -> str:
    """The program of a buildpack that leaves an environment of these packages."""
    prefix = exporter.world.root / "environment"
    remove_tree(prefix)
    for name, size in sizes.items():
        add_distribution(prefix, name, {f"{name}/__init__.py": size})
    return LAYER + BY_PACKAGES + f'cp -r --sparse=always "{prefix}/." "$CNB_LAYERS_DIR/venv"\n'


def parts_in(exported: ExportedImage) -> dict[str, Layer]:
    return {name: layer for name, layer in by_name(exported).items() if name.startswith("x/a:venv")}
