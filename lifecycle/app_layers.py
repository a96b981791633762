"""The layers of an app image while it is put together: archived, or taken from the previous image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.environment import LayerEnvironment
from lifecycle.log import PhaseLog
from lifecycle.oci.archive import TarWriter
from lifecycle.oci.blob import write_layer_blob
from lifecycle.oci.config import History
from lifecycle.oci.image import Image, Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLayer:
    """A layer of the image. `size`: bytes of the compressed blob; `is_reused`: it was in the previous image, the run image or
    that of another application.
    """

    name: str
    diff_id: Digest
    digest: Digest
    size: int
    is_reused: bool
    seconds: float


@dataclass(slots=True, kw_only=True)
class AppLayers:
    """The layers so far, base first; the run image's are there from the start."""

    run_image: Image
    previous: Image | None
    blobs_dir: Path
    created: str
    """The time that the history says."""
    log: PhaseLog
    on_progress: Callable[[str, int], None] | None = None
    all: list[Layer] = field(init=False)
    exported: list[ExportedLayer] = field(init=False)
    _environments: dict[Digest, LayerEnvironment] = field(init=False, default_factory=dict)
    _known: Mapping[Digest, Layer] = field(init=False)

    def __post_init__(self) -> None:
        self.all = list(self.run_image.layers)
        self.exported = [_describe("run image", layer, is_reused=True, seconds=0.0) for layer in self.all]
        self._known = {layer.diff_id: layer for layer in (self.previous.layers if self.previous else ())}

    @property
    def environments(self) -> tuple[LayerEnvironment, ...]:
        """What the launch layers do to the environment, in order."""
        return tuple(self._environments.values())

    @property
    def launch_facts(self) -> Mapping[str, LayerEnvironment]:
        """The same by diff id."""
        return {str(diff_id): environment for diff_id, environment in self._environments.items()}

    def add(self, name: str, created_by: str, fill: Callable[[TarWriter], None]) -> Layer:
        """Archive a layer; where the previous image has the same content, its blob is taken. Raises `OciError`, `OSError`."""
        started = time.monotonic()
        report = self.on_progress
        blob = write_layer_blob(
            self.blobs_dir,
            fill,
            on_progress=None if report is None else lambda size: report(name, size),
            on_skip=lambda path: self.log.warning(f"{path} is left out: it is neither file, directory nor link"),
        )
        # Another version of the compressor may have made it: the blob that registries have already is the better one.
        layer = self._known.get(blob.diff_id)
        is_reused = layer is not None
        if layer is None:
            layer = Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
        return self._append(name, created_by, layer, is_reused=is_reused, started=started)

    def reuse(self, name: str, created_by: str, sha: str) -> Layer | None:
        """Take a layer from the previous image; `None` when it is not there."""
        layer = self._known.get(Digest.parse(sha))
        if layer is None or not layer.path.exists():
            return None
        return self._append(name, created_by, layer, is_reused=True, started=time.monotonic())

    def take(self, name: str, created_by: str, layer: Layer) -> Layer:
        """Take a layer of another image, whose blob is on disk."""
        return self._append(name, created_by, layer, is_reused=True, started=time.monotonic())

    def set_environment(self, layer: Layer, environment: LayerEnvironment) -> None:
        """Keep what a launch layer does to the environment."""
        self._environments[layer.diff_id] = environment

    def _append(self, name: str, created_by: str, layer: Layer, *, is_reused: bool, started: float) -> Layer:
        layer = replace(layer, history=History(created=self.created, created_by=created_by))
        self.all.append(layer)
        self.exported.append(_describe(name, layer, is_reused=is_reused, seconds=time.monotonic() - started))
        self.log.info(f"{'Reusing' if is_reused else 'Adding'} layer `{name}`")
        return layer


def _describe(name: str, layer: Layer, *, is_reused: bool, seconds: float) -> ExportedLayer:
    return ExportedLayer(
        name=name,
        diff_id=layer.diff_id,
        digest=layer.descriptor.digest,
        size=layer.descriptor.size,
        is_reused=is_reused,
        seconds=seconds,
    )
