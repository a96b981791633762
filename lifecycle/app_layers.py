"""The layers of an app image while it is put together: archived, or taken from the previous image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.environment import LayerEnvironment
from lifecycle.log import PhaseLog
from lifecycle.oci.archive import TarWriter
from lifecycle.oci.blob import Blob, compress_layer_blob, write_layer_blobs
from lifecycle.oci.compression import Compression, DamagedLayer, open_layer
from lifecycle.oci.config import History
from lifecycle.oci.errors import BrokenImage
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
    part_of: str | None = None
    """Name of the layer that this one is a part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a layer comes from: its name for people, and what the history says of it."""

    name: str
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """A layer that is on disk. `seconds`: what it took."""

    origin: Origin
    layer: Layer
    is_reused: bool
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class AppLayers:
    """The layers so far, base first; the run image's are there from the start."""

    run_image: Image
    previous: Image | None
    blobs_dir: Path
    created: str
    """The time that the history says."""
    log: PhaseLog
    compression: Compression
    blobs_are_remote: bool = False
    """Whether the previous image's blobs are where the image goes; not all of them are on disk then."""
    check: Callable[[], object] = lambda: None
    """Called again and again while layers are archived; what it raises ends that."""
    all: list[Layer] = field(init=False)
    exported: list[ExportedLayer] = field(init=False)
    made: dict[str, Layer] = field(init=False, default_factory=dict)
    """Layers by the keys of the trees that they were made of."""
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

    def add(self, origin: Origin, fill: Callable[[TarWriter], None]) -> Layer:
        """Archive a layer; where the previous image has the same content, its blob is taken. Raises `OciError`, `OSError`."""
        return self.add_all({origin: fill})[0]

    def add_all(
        self, fills: Mapping[Origin, Callable[[TarWriter], None]], known: Mapping[Origin, Layer] | None = None
    ) -> list[Layer]:
        """Archive layers as `add` does, except `known` ones; all but the last one are parts of the last one."""
        known = known or {}
        to_write = {origin: fill for origin, fill in fills.items() if origin not in known}
        blobs = write_layer_blobs(
            self.blobs_dir,
            to_write.values(),
            compression=self.compression,
            check=self.check,
            on_skip=lambda path: self.log.warning(f"{path} is left out: it is neither file, directory nor link"),
        )
        done = {origin: self._compare(origin, blob) for origin, blob in zip(to_write, blobs, strict=True)}
        done |= {origin: self._prefer_previous(origin, layer) for origin, layer in known.items()}
        return self._append([done[origin] for origin in fills])

    def find(self, sha: str) -> Layer | None:
        """A layer of the previous image whose blob can be had."""
        layer = self._known.get(Digest.parse(sha))
        return layer if layer is not None and (self.blobs_are_remote or layer.path.exists()) else None

    def take_all(self, layers: Mapping[Origin, Layer]) -> list[Layer]:
        """Take layers of other images, whose blobs are on disk, all but the last one being parts of the last one."""
        return self._append([_Done(origin=origin, layer=layer, is_reused=True) for origin, layer in layers.items()])

    def set_environment(self, layer: Layer, environment: LayerEnvironment) -> None:
        """Keep what a launch layer does to the environment."""
        self._environments[layer.diff_id] = environment

    def _compare(self, origin: Origin, blob: Blob) -> _Done:
        # Another version of the compressor may have made it: the blob that registries have already is the better one.
        known = self._known.get(blob.diff_id)
        if known is not None and known.descriptor.media_type != blob.descriptor.media_type:
            known = None
        layer = known or Layer(descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)
        return _Done(origin=origin, layer=layer, is_reused=known is not None, seconds=blob.seconds)

    def _prefer_previous(self, origin: Origin, layer: Layer) -> _Done:
        return _Done(origin=origin, layer=self._known.get(layer.diff_id, layer), is_reused=True)

    def _in_form(self, layer: Layer) -> Layer:
        """The layer, compressed as it was asked for: which layers were there before must not decide about the image."""
        media_type = layer.descriptor.media_type
        if media_type == self.compression.media_type:
            return layer
        try:
            with layer.path.open("rb") as stream:
                blob = compress_layer_blob(self.blobs_dir, open_layer(stream, media_type), compression=self.compression)
        except DamagedLayer as err:
            raise BrokenImage(str(layer.path), f"is a damaged compressed file: {err}") from err
        if blob.diff_id != layer.diff_id:
            raise BrokenImage(str(layer.path), f"has the diff id {blob.diff_id}, not {layer.diff_id}")
        return replace(layer, descriptor=blob.descriptor, path=blob.path)

    def _append(self, done: Sequence[_Done]) -> list[Layer]:
        name = done[-1].origin.name
        layers, new = [], 0
        for one in done:
            formed = self._in_form(one.layer)
            layer = replace(formed, history=History(created=self.created, created_by=one.origin.created_by))
            layers.append(layer)
            is_reused = one.is_reused and formed is one.layer
            described = _describe(one.origin.name, layer, is_reused=is_reused, seconds=one.seconds)
            self.exported.append(described if one is done[-1] else replace(described, part_of=name))
            new += not is_reused
        self.all += layers
        parts = f" in {len(done)} parts" if len(done) > 1 else ""
        if new:
            self.log.info(f"Adding layer `{name}`{parts}{f', {new} of them new' if new < len(done) else ''}")
        else:
            self.log.info(f"Reusing layer `{name}`{parts}")
        return layers


def _describe(name: str, layer: Layer, *, is_reused: bool, seconds: float) -> ExportedLayer:
    return ExportedLayer(
        name=name,
        diff_id=layer.diff_id,
        digest=layer.descriptor.digest,
        size=layer.descriptor.size,
        is_reused=is_reused,
        seconds=seconds,
    )
