"""Executes a recipe: the images that it names become one, by buildah in the sandbox or by the BuildKit of a Docker engine.

Either engine is given the images from here and asks no registry; what it made comes back as an image whose layers are blobs of this
store. What an application's recipe made last is remembered: the same again is neither exported nor compressed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.recipe import Recipe, RecipeImage
from lifecycle.cnb.toml import Table, read_regular_file, write_atomically
from lifecycle.execution.errors import ExtendError
from lifecycle.execution.extended_image import Origin, make_extended_image, remake_image
from lifecycle.execution.facts import RootfsFacts, parse_facts
from lifecycle.execution.normalized import NormalizedLayer
from lifecycle.execution.steps import plan_stages
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.compression import open_layer
from lifecycle.oci.config import parse_config
from lifecycle.oci.descriptor import parse_descriptor
from lifecycle.oci.image import Image, Layer
from pybuild.builder import Builder
from pybuild.engines import Engine
from pybuild.engines.docker_build import build_with_docker
from pybuild.engines.execution import Executed, Execution
from pybuild.engines.sandbox_build import build_in_sandbox, remove_tree_of_users
from pybuild.heredocs import with_heredocs
from pybuild.host import HostSettings
from pybuild.log import Log
from pybuild.run_settings import RunSettings, make_run_settings
from pybuild.working_directories import with_working_directories


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendRequest:
    """What to execute, and where."""

    recipe: Recipe
    images: tuple[tuple[RecipeImage, Image], ...]
    """Each of `recipe.images`, with the image that it is."""
    engine: Engine = Engine.SANDBOX
    app_dir: Path
    directory: Path
    """Kept for the application; by this module only."""
    blobs_dir: Path
    """Where the blobs of new layers go, under their digests; kept from build to build as well."""
    builder: Builder
    host: HostSettings
    constraints: tuple[str, ...] = ()
    """Files of the application and URLs, beside those that the machine is configured with."""
    network: bool
    deadline: Deadline
    env: Mapping[str, str] = field(default_factory=dict)
    """Of this process: how the Docker engine is reached."""
    is_normalized: bool = False
    """Whether files of new layers get the time that those of buildpacks have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """What was made."""

    image: Image
    facts: RootfsFacts


def extend_image(request: ExtendRequest, log: Log) -> Extended:
    """What the recipe makes.

    Raises:
        pybuild.errors.PhaseFailed: an instruction failed, or the engine.
        lifecycle.execution.errors.InstructionFailed, lifecycle.execution.errors.ExtendError: the same, of the Docker engine.
        pybuild.errors.MachineError: the engine cannot work on this machine.
        pybuild.errors.SettingsError: a constraints file cannot be read.
        lifecycle.cnb.command.CommandTimeout: the time is up.
    """
    request.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    recipe, images = with_heredocs(request.recipe, request.images, request.directory / "heredocs")
    if request.engine is Engine.SANDBOX:
        recipe, images = with_working_directories(recipe, images, request.directory / "nothing")
    known = {layer.diff_id: layer for _, image in images for layer in image.layers}
    path = request.directory / f"last-{request.engine.value}.json"
    last = _read_last(path, request.blobs_dir, known)
    settings = _settings(request, log)
    with _work_directory(request.directory) as work:
        execution = Execution(
            recipe=recipe,
            images=images,
            app_dir=request.app_dir,
            directory=request.directory,
            work=work,
            blobs_dir=request.blobs_dir,
            builder=request.builder,
            settings=settings,
            network=request.network,
            deadline=request.deadline,
            env=request.env,
            known_image=None if last is None else last.image,
            known_layers={**known, **({} if last is None else last.layers)},
        )
        executed = _execute(request.engine, execution, log)
    if executed.config is None:
        if last is None:
            raise ExtendError(message="the engine did not export the image that it built")
        return Extended(image=last.remake(known), facts=last.facts)
    layers = executed.layers
    if request.is_normalized:
        layers = {diff_id: _normalize(layer, request.blobs_dir) for diff_id, layer in layers.items()}
    made = _take(execution, replace(executed, layers=layers), executed.config, known)
    made.write(path)
    return Extended(image=made.remake(known), facts=made.facts)


def _take(execution: Execution, executed: Executed, config: bytes, known: Mapping[Digest, Layer]) -> _Last:
    """What was made, as it is remembered; `known` are the layers of the bases."""
    layers = {**execution.known_layers, **executed.layers}
    images = {one.local: image for one, image in execution.images}
    stages = plan_stages(execution.recipe, executed.declared)
    architecture = execution.builder.run_image.config.architecture
    origin = Origin(recipe=execution.recipe, stages=stages, images=images, architecture=architecture)
    image = make_extended_image(config, origin, layers)
    needed = set(parse_config(config, source="the config of the built image").diff_ids) - known.keys()
    return _Last(
        image=executed.image,
        config=image.config_bytes,
        facts=executed.facts or RootfsFacts(),
        layers={diff_id: layers[diff_id] for diff_id in needed},
    )


def _normalize(layer: Layer, blobs_dir: Path) -> Layer:
    with layer.path.open("rb") as stream:
        blob = compress_layer_blob(blobs_dir, NormalizedLayer(open_layer(stream, layer.descriptor.media_type)))
    return replace(layer, descriptor=blob.descriptor, diff_id=blob.diff_id, path=blob.path)


def _execute(engine: Engine, execution: Execution, log: Log) -> Executed:
    build = build_in_sandbox if engine is Engine.SANDBOX else build_with_docker
    return build(execution, log)


def _settings(request: ExtendRequest, log: Log) -> RunSettings:
    settings = make_run_settings(
        request.host,
        app_dir=request.app_dir,
        constraints=request.constraints,
        can_mount=request.engine is Engine.SANDBOX,
    )
    if settings.left_out:
        names = ", ".join(f"`{name}`" for name in settings.left_out)
        log.notice(
            f"commands of the Dockerfile do not see directories of this machine that {names} name: Docker cannot mount them"
        )
    return settings


@contextlib.contextmanager
def _work_directory(directory: Path) -> Iterator[Path]:
    """An empty directory; what a killed build left in its place is removed."""
    work = directory / "work"
    remove_tree_of_users(work)
    work.mkdir()
    try:
        yield work
    finally:
        remove_tree_of_users(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What an engine made of an application's recipe the last time."""

    image: str
    """The engine's id."""
    config: bytes
    """Of the image that came of it."""
    facts: RootfsFacts
    layers: Mapping[Digest, Layer] = field(default_factory=dict)
    """Those that are not of a base, by the diff id that the engine knows them by."""

    def remake(self, known: Mapping[Digest, Layer]) -> Image:
        return remake_image(self.config, {**known, **{layer.diff_id: layer for layer in self.layers.values()}})

    def write(self, path: Path) -> None:
        values = {
            "image": self.image,
            "config": self.config.decode("utf-8", "surrogateescape"),
            "facts": self.facts.values(),
            "layers": [
                {"known-as": str(known_as), "diff-id": str(layer.diff_id), **layer.descriptor.render()}
                for known_as, layer in sorted(self.layers.items())
            ],
        }
        write_atomically(path, render_json(values).encode("utf-8", "surrogateescape"))


def _read_last(path: Path, blobs_dir: Path, known: Collection[Digest]) -> _Last | None:
    """What was made the last time; nothing where it cannot be used: a layer of it is gone, with a base or from the store."""
    try:
        document = parse_json(read_regular_file(path).decode("utf-8", "surrogateescape"), source=path.name)
        tables = document.tables("layers")
        layers = {Digest.parse(one.string("known-as")): _parse_layer(one, blobs_dir) for one in tables}
        config = document.string("config").encode("utf-8", "surrogateescape")
        needed = set(parse_config(config, source=path.name).diff_ids)
        if not needed <= {*known, *(layer.diff_id for layer in layers.values())} or not all(
            _is_whole(layer) for layer in layers.values()
        ):
            return None
        facts = parse_facts(document.table("facts"))
        return _Last(image=document.string("image"), config=config, facts=facts, layers=layers)
    except CnbError:
        return None


def _parse_layer(table: Table, blobs_dir: Path) -> Layer:
    descriptor = parse_descriptor(table)
    diff_id = Digest.parse(table.string("diff-id"))
    return Layer(descriptor=descriptor, diff_id=diff_id, path=blobs_dir / descriptor.digest.hex)


def _is_whole(layer: Layer) -> bool:
    return layer.path.is_file() and layer.path.stat().st_size == layer.descriptor.size
