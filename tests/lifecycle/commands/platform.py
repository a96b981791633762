"""A platform that starts programs one after the other in this process, with a registry on 127.0.0.1 and small buildpacks in bash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli

from lifecycle.__main__ import run_program
from lifecycle.cnb.order import write_order
from lifecycle.oci.image import Image
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import FakeRegistry
from tests.lifecycle.world import World, order

# A launch layer, one that is cached as well, and a process.
BUILD = """
mkdir -p "$CNB_LAYERS_DIR/made/bin" "$CNB_LAYERS_DIR/kept"
echo tool > "$CNB_LAYERS_DIR/made/bin/tool"
[ -e "$CNB_LAYERS_DIR/kept/first" ] || date +%N > "$CNB_LAYERS_DIR/kept/first"
printf '[types]\\nlaunch = true\\n' > "$CNB_LAYERS_DIR/made.toml"
printf '[types]\\ncache = true\\n' > "$CNB_LAYERS_DIR/kept.toml"
printf '[[processes]]\\ntype = "web"\\ncommand = ["sh", "-c"]\\nargs = ["echo $0 $FLAG"]\\n' > "$CNB_LAYERS_DIR/launch.toml"
echo 'default = true' >> "$CNB_LAYERS_DIR/launch.toml"
printf '[metadata]\\nbuilds = 1\\n' > "$CNB_LAYERS_DIR/store.toml"
"""


@dataclass
class Platform:
    """The directories and the registry of one application."""

    world: World
    registry: FakeRegistry
    capture: pytest.CaptureFixture[str]
    env: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""

    def __post_init__(self) -> None:
        root = self.world.root
        self.env |= {
            "PATH": "/usr/bin:/bin",
            "HOME": str(root / "home"),
            "CNB_PLATFORM_API": "0.15",
            "CNB_APP_DIR": str(self.world.app),
            "CNB_BUILDPACKS_DIR": str(self.world.buildpacks),
            "CNB_BUILD_CONFIG_DIR": str(root / "build-config"),
            "CNB_LAYERS_DIR": str(self.world.layers),
            "CNB_PLATFORM_DIR": str(root / "platform"),
            "CNB_RUN_PATH": str(root / "run.toml"),
            "CNB_USER_ID": str(root.stat().st_uid),
            "CNB_GROUP_ID": str(root.stat().st_gid),
        }
        self.world.add("a", build=BUILD)
        write_order(self.world.layers / "order.toml", order("a"))
        (self.world.app / "file").write_text("content")

    @property
    def layers(self) -> Path:
        return self.world.layers

    @property
    def host(self) -> str:
        return self.registry.host

    def run_image(self, content: str = "run", labels: Mapping[str, str] | None = None) -> Image:
        layer = file_layer(self.world.root / f"run-{content}", {"etc/os": content})
        return image_of(layer, labels=labels or {"io.buildpacks.base.distro.name": "debian"})

    def add_run_image(self, name: str = "team/run:1", content: str = "run") -> str:
        return self.registry.add(self.run_image(content), name)

    def start(self, program: str, *arguments: str, **variables: str) -> int:
        """Run a program; what it says is kept."""
        code = run_program([f"/cnb/lifecycle/{program}", *arguments], {**self.env, **variables})
        self.stdout, self.stderr = self.capture.readouterr()
        return code

    def must(self, program: str, *arguments: str, **variables: str) -> None:
        code = self.start(program, *arguments, **variables)
        assert code == 0, self.stdout + self.stderr

    def toml(self, name: str) -> dict[str, Any]:
        return tomli.loads((self.layers / name).read_text())

    def empty_layers(self) -> None:
        """As a platform does between two builds."""
        content = (self.layers / "order.toml").read_bytes()
        shutil.rmtree(self.layers)
        self.layers.mkdir()
        (self.layers / "order.toml").write_bytes(content)

    def pushed(self, name: str = "team/app:1") -> tuple[dict[str, Any], dict[str, Any]]:
        """Manifest and config of what a name leads to."""
        manifest = json.loads(self.registry.manifests[name][0])
        return manifest, json.loads(self.registry.blobs[manifest["config"]["digest"]])

    def label(self, name: str = "team/app:1") -> dict[str, Any]:
        _, config = self.pushed(name)
        found: dict[str, Any] = json.loads(config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
        return found

    def build(self, name: str = "team/app:1", *arguments: str, **variables: str) -> None:
        """Start the five phases; `arguments` are those of the exporter."""
        image = f"{self.host}/{name}"
        cache = [argument for argument in arguments if argument.startswith("-cache")]
        self.must("analyzer", *[one for one in cache if "image" in one], image, **variables)
        self.must("detector", **variables)
        self.must("restorer", *cache, **variables)
        self.must("builder", **variables)
        self.must("exporter", *arguments, image, **variables)
