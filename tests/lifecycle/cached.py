"""An application's cache, with layers of every combination of types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lifecycle.cache import Cache
from lifecycle.cache_contents import TreeFacts
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.labels import BuildpackRecord, LayerRecord, LifecycleMetadata
from lifecycle.cnb.layer import LayerFile, LayerTypes, read_layer_file, write_layer_file
from lifecycle.restore import RestoreRequest, restore
from tests.lifecycle.world import RecordingLog

PIP = GroupElement(id=BuildpackId.parse("example/pip"), version="1.0.0", api=ApiVersion(0, 12))
OTHER = GroupElement(id=BuildpackId.parse("other"), version="1.0.0", api=ApiVersion(0, 12))
GROUP = Group(elements=(PIP, OTHER))
TYPES = {
    "l": LayerTypes(launch=True),
    "b": LayerTypes(build=True),
    "c": LayerTypes(cache=True),
    "lb": LayerTypes(launch=True, build=True),
    "lc": LayerTypes(launch=True, cache=True),
    "bc": LayerTypes(build=True, cache=True),
    "lbc": LayerTypes(launch=True, build=True, cache=True),
}


TARGET = "linux/amd64 (debian 12)"


class Machine:
    """An application's cache and previous image; `built` does what a build and an export would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = Cache(directory=root / "cache", target=TARGET)
        self.image = LifecycleMetadata()
        self.log = RecordingLog()

    def layers(self) -> Path:
        path = self.root / f"layers{len(list(self.root.iterdir()))}"
        path.mkdir()
        return path

    def write_layers(self, layers: Path, names: str, element: GroupElement = PIP) -> None:
        own = layers / element.id.directory_name
        own.mkdir(exist_ok=True)
        for name in names.split():
            (own / name).mkdir()
            (own / name / "file").write_text(name)
            (own / name / "link").symlink_to("/absolute/target")
            write_layer_file(own / f"{name}.toml", LayerFile(types=TYPES[name], metadata={"number": 7, "name": name}))

    def declare_again(self, layers: Path) -> None:
        """What a buildpack does that finds everything as it wants it."""
        own = layers / PIP.id.directory_name
        for path in (own / f"{name}.toml" for name in found(layers)):
            write_layer_file(path, LayerFile(types=TYPES[path.stem], metadata=read_layer_file(path).metadata))

    def save(
        self,
        layers: Path,
        *elements: GroupElement,
        sha: str = "sha256:1",
        known: Mapping[Path, TreeFacts] | None = None,
        cache_image: str | None = None,
    ) -> None:
        records = []
        for element in elements or (PIP,):
            own = layers / element.id.directory_name
            files = {path.stem: read_layer_file(path) for path in own.glob("*.toml") if path.stem in TYPES}
            records.append(
                BuildpackRecord(
                    id=element.id,
                    version=element.version,
                    layers={
                        name: LayerRecord(sha=sha, types=file.types, metadata=file.metadata)
                        for name, file in files.items()
                        if file.types.launch
                    },
                    store={"kept": 1},
                )
            )
        self.image = LifecycleMetadata(buildpacks=tuple(records))
        self.cache.save(
            layers_dir=layers, group=GROUP, image=self.image, log=self.log, known=known, cache_image=cache_image
        )

    def restore(self, **changes: object) -> Path:
        layers = self.layers()
        request = {
            "layers_dir": layers,
            "group": GROUP,
            "previous": self.image,
            "cache": self.cache,
            **changes,
        }
        restore(RestoreRequest(**request), self.log)  # type: ignore[arg-type]
        return layers


def found(layers: Path, element: GroupElement = PIP) -> dict[str, str]:
    """Layer name -> `t` for its file, `d` for its directory."""
    own = layers / element.id.directory_name
    return {
        name: ("t" if (own / f"{name}.toml").exists() else "") + ("d" if (own / name).is_dir() else "")
        for name in TYPES
        if (own / f"{name}.toml").exists() or (own / name).exists()
    }
