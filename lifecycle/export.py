"""The export phase: layers on the run image become the app image (platform.md, "Export").

Layers, in this order: those of the run image, launch layers by buildpack and name, bills of materials, slices and rest of the
application, launcher, config, process types. What the previous image has already is taken from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from lifecycle import __version__
from lifecycle.app_config import app_config, app_environment, base_environment, choose_entrypoint, render_time
from lifecycle.app_layers import AppLayers, ExportedLayer, Origin
from lifecycle.cnb.analyzed import Analyzed
from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.environment import parse_layer_environment, read_layer_environment
from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.labels import (
    BUILD_LABEL,
    EXEC_ENV_LABEL,
    LIFECYCLE_LABEL,
    PROJECT_LABEL,
    BuildpackRecord,
    LayerRecord,
    LifecycleMetadata,
    ProjectMetadata,
    RunImageRecord,
    render_lifecycle_metadata,
)
from lifecycle.cnb.layer import LayerDirectory, is_real_directory, read_layers
from lifecycle.cnb.metadata import BuildMetadata, render_build_label, write_build_metadata
from lifecycle.cnb.parts import parts_of, with_parts, without_parts
from lifecycle.cnb.shared import layer_key
from lifecycle.cnb.toml import Table, read_table
from lifecycle.errors import ExportError
from lifecycle.launch_facts import (
    LAUNCH_BASE_LABEL,
    LAUNCH_FACTS_LABEL,
    recall_environment,
    render_launch_base,
    render_launch_facts,
)
from lifecycle.launcher import LAUNCHER_PATH, PROCESS_DIR, Launch, launcher_filler
from lifecycle.log import PhaseLog
from lifecycle.oci.archive import ROOT, Owner, TarWriter
from lifecycle.oci.compression import Compression
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.tree import Tree, scan_tree
from lifecycle.parts import MAX_LAYERS, MAX_PARTS, divide_layer
from lifecycle.recognition import describe_tree, find_made
from lifecycle.slices import assign_slices

_IMAGE_USER = Owner(user_id=1000, group_id=1000)
_LAYERS_PATH, _APP_PATH = PurePosixPath("/layers"), PurePosixPath("/workspace")
# Bills of materials, the rest of the application, launcher, config, process types
_OWN_LAYERS = 5
# Platforms give volumes modes of their own, which are not the application's.
_APP_DIR_MODE = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLayer:
    """A launch layer of another application, with its parts by the names that they have in the image."""

    layer: Layer
    parts: Mapping[str, Layer] = field(default_factory=dict)
    environment: Table
    """What it does to the environment, as `LayerEnvironment.render` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to make an image of, and where its new blobs go."""

    layers_dir: Path
    app_dir: Path
    group: Group
    build: BuildMetadata
    """config/metadata.toml."""
    analyzed: Analyzed
    project: ProjectMetadata = field(default_factory=ProjectMetadata)
    run_image: Image
    extended_from: Image | None = None
    """What `run_image` was before image extensions changed it, if they did: what it can be rebased from."""
    run_image_mirrors: tuple[str, ...] = ()
    previous: Image | None = None
    """The image whose label is `analyzed.previous`."""
    blobs_are_remote: bool = False
    """Whether blobs of the run image and the previous one may be in the registry only that the image goes to."""
    check: Callable[[], object] = lambda: None
    """Called again and again; what it raises ends the export."""
    find_shared: Callable[[str], SharedLayer | None] = lambda _: None
    """The layer of that key (`lifecycle.cnb.shared`), asked where neither a directory nor the previous image has it."""
    find_made: Callable[[str], Layer | None] = lambda _: None
    """The layer that was made of a tree with that key (`lifecycle.recognition`)."""
    blobs_dir: Path
    """Gets a file for each new layer, named by the hexadecimal part of its digest, as in `blobs/sha256` of a layout."""
    compression: Compression = Compression.GZIP
    """Of all layers above the run image's."""
    owner: Owner = _IMAGE_USER
    """Of the layers and the application."""
    process_type: str | None = None
    """What the image starts; `None`: the buildpacks' default."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels; they win over all others."""
    exec_env: str = DEFAULT_EXEC_ENV
    source_date_epoch: int | None = None
    """Seconds; the time that the image says it was made at. Files have 1980 whatever it is."""
    layers_path: PurePosixPath = _LAYERS_PATH
    app_path: PurePosixPath = _APP_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedImage:
    """The app image, its layers (base first), and what its lifecycle label says.

    `made` are the launch layers by the keys of the trees that they are made of (`lifecycle.recognition`).
    """

    image: Image
    layers: tuple[ExportedLayer, ...]
    metadata: LifecycleMetadata
    made: Mapping[str, Layer] = field(default_factory=dict)


def export(request: ExportRequest, log: PhaseLog) -> ExportedImage:
    """Return the app image; its blobs are on disk, where it goes is up to the exporters.

    Raises:
        ExportError: what was built cannot become an image.
        ConfigurationError: a file of a buildpack does not say what it must.
        OciError, OSError: files cannot be read or written.
    """
    entrypoint = choose_entrypoint(request.build, request.process_type)
    created = render_time(request.source_date_epoch)
    layers = AppLayers(
        run_image=request.run_image,
        previous=request.previous,
        blobs_dir=request.blobs_dir,
        created=created,
        log=log,
        compression=request.compression,
        check=request.check,
        blobs_are_remote=request.blobs_are_remote,
    )
    records = tuple(_export_buildpack(element, request, layers) for element in request.group.elements)
    sbom = _export_sbom(request, layers)
    app = _export_app(request, layers)
    base = base_environment(request.run_image.config)
    env = app_environment(base, layers.environments, app=request.app_path, layers_dir=request.layers_path)
    launch = Launch(
        processes=request.build.processes,
        layers=layers.environments,
        base=base,
        exported=env,
        app_dir=request.app_path,
    )
    launcher = layers.add(
        Origin(name="launcher", created_by="Buildpacks Application Launcher"), launcher_filler(launch)
    )
    config = layers.add(Origin(name="config", created_by="Buildpacks Launcher Config"), _config_filler(request))
    process_types = _export_process_types(request, layers)
    metadata = LifecycleMetadata(
        app=tuple(str(layer.diff_id) for layer in app),
        sbom=None if sbom is None else str(sbom.diff_id),
        config=str(config.diff_id),
        launcher=str(launcher.diff_id),
        process_types=None if process_types is None else str(process_types.diff_id),
        buildpacks=records,
        run_image=_run_image_record(request),
        exec_env=request.exec_env,
    )
    image_config = app_config(
        request.run_image.config,
        env=env,
        labels=_labels(request, metadata, layers),
        entrypoint=entrypoint,
        working_dir=request.app_path,
        created=created,
    )
    image = make_image(image_config, layers.all)
    return ExportedImage(image=image, layers=tuple(layers.exported), metadata=metadata, made=layers.made)


def _export_buildpack(element: GroupElement, request: ExportRequest, layers: AppLayers) -> BuildpackRecord:
    directory = request.layers_dir / element.id.directory_name
    found = [layer for layer in read_layers(directory) if layer.file.types.launch]
    # With the layer that they belong to, whoever says which they are: the previous image, or that of another application.
    parts = {part for layer in found if not layer.is_present for part in parts_of(layer.file.metadata)}
    records: dict[str, LayerRecord] = {}
    for layer in found:
        if layer.name not in parts:
            records |= _export_launch_layer(element, layer, request, layers)
    return BuildpackRecord(id=element.id, version=element.version, layers=records, store=_read_store(directory))


def _export_launch_layer(
    element: GroupElement, layer: LayerDirectory, request: ExportRequest, layers: AppLayers
) -> Mapping[str, LayerRecord]:
    """What the label says of the layer, and of each of its parts."""
    path = request.layers_path / element.id.directory_name / layer.name
    exported: Mapping[str, Layer]
    if layer.is_present:
        facts = read_layer_environment(layer.path, buildpack=element.id, name=layer.name, path=path)
        exported = _export_directory(element, layer, path, request, layers)
    elif (shared := _find_shared(element, layer, path, request)) is not None:
        facts = parse_layer_environment(shared.environment, buildpack=element.id, name=layer.name, path=path)
        exported = {**shared.parts, layer.name: shared.layer}
        layers.take_all({_origin(element, name): one for name, one in exported.items()})
    else:
        exported = _find_in_previous(element, layer, request, layers)
        layers.take_all({_origin(element, name): one for name, one in exported.items()})
        labels = request.previous.config.labels if request.previous else {}
        facts = recall_environment(labels, exported[layer.name], buildpack=element.id, name=layer.name, path=path)
    layers.set_environment(exported[layer.name], facts)
    types, parts = layer.file.types, [name for name in exported if name != layer.name]
    metadata = with_parts(without_parts(layer.file.metadata), parts)
    whole = LayerRecord(sha=str(exported[layer.name].diff_id), types=types, metadata=metadata)
    return {**{part: LayerRecord(sha=str(exported[part].diff_id), types=types) for part in parts}, layer.name: whole}


def _export_directory(
    element: GroupElement, layer: LayerDirectory, path: PurePosixPath, request: ExportRequest, layers: AppLayers
) -> Mapping[str, Layer]:
    """The layer that its directory is, after its parts, by name."""
    trees = {
        name: describe_tree(
            tree, path, request.owner, _tree_filler(tree, path, request.owner), comes_back=layer.file.types.cache
        )
        for name, tree in _divide(layer, request).items()
    }
    made = find_made(trees, request.find_made)
    exported = layers.add_all(
        {_origin(element, name): tree.fill for name, tree in trees.items()},
        {_origin(element, name): known for name, known in made.items()},
    )
    for tree, one in zip(trees.values(), exported, strict=True):
        layers.made |= dict.fromkeys(tree.keys, one)
    return dict(zip(trees, exported, strict=True))


def _origin(element: GroupElement, layer: str) -> Origin:
    return Origin(name=f"{element.id}:{layer}", created_by=f"Layer: '{layer}', Created by buildpack: {element}")


def _divide(layer: LayerDirectory, request: ExportRequest) -> Mapping[str, Tree]:
    """The directory of a layer, whole or after its parts."""
    tree = scan_tree(layer.path)
    # A cached tree is recognized by the one layer that it is in the image.
    if layer.file.by_packages and not layer.file.types.cache:
        division = divide_layer(layer.name, tree, limit=_room_for_parts(request))
        if division is not None:
            return {**division.parts, layer.name: division.rest}
    return {layer.name: tree}


def _room_for_parts(request: ExportRequest) -> int:
    """How many layers of the image each layer of packages may become."""
    of_buildpacks = [
        layer
        for element in request.group.elements
        for layer in read_layers(request.layers_dir / element.id.directory_name)
        if layer.file.types.launch
    ]
    others = len(request.run_image.layers) + len(of_buildpacks) + len(request.build.slices) + _OWN_LAYERS
    divisible = sum(layer.is_present and layer.file.by_packages for layer in of_buildpacks)
    return min(MAX_PARTS, 1 + max(0, MAX_LAYERS - others) // max(1, divisible))


def _find_shared(
    element: GroupElement, layer: LayerDirectory, path: PurePosixPath, request: ExportRequest
) -> SharedLayer | None:
    metadata = without_parts(layer.file.metadata)
    known = request.analyzed.previous.layer(element.id, layer.name)
    if layer.file.types.cache or (known is not None and without_parts(known.metadata) == metadata):
        return None
    return request.find_shared(layer_key(path, metadata))


def _find_in_previous(
    element: GroupElement, layer: LayerDirectory, request: ExportRequest, layers: AppLayers
) -> Mapping[str, Layer]:
    """The layer of the previous image after its parts, by name: all of them."""
    name, previous = f"{element.id}:{layer.name}", request.analyzed.previous
    if layer.file.types.cache:
        raise ExportError(message=f"layer `{name}` is a launch and cache layer, but its directory is not there")
    record = previous.layer(element.id, layer.name)
    if record is None or record.sha is None:
        raise ExportError(
            message=f"launch layer `{name}` has no directory, and the previous image has no such layer to reuse"
        )
    found: dict[str, Layer] = {}
    for part in (*parts_of(record.metadata), layer.name):
        known = previous.layer(element.id, part)
        sha = None if known is None else known.sha
        blob = None if sha is None else layers.find(sha)
        if blob is None:
            raise ExportError(
                message=f"layer `{name}` cannot be reused: the previous image lacks its blob {sha or f'of `{part}`'}"
            )
        found[part] = blob
    return found


def _export_sbom(request: ExportRequest, layers: AppLayers) -> Layer | None:
    directory = request.layers_dir / "sbom" / "launch"
    if not is_real_directory(directory.parent) or not is_real_directory(directory):
        return None
    fill = _tree_filler(scan_tree(directory), request.layers_path / "sbom" / "launch", request.owner)
    return layers.add(Origin(name="sbom", created_by="Software Bill-of-Materials"), fill)


def _export_app(request: ExportRequest, layers: AppLayers) -> list[Layer]:
    """The slices that take anything, then the rest of the application, also when that is only its empty directory."""
    slices = request.build.slices
    assigned = assign_slices(request.app_dir, request.app_path, slices) if slices else {}
    tree = _with_mode(scan_tree(request.app_dir), _APP_DIR_MODE)
    if not assigned:
        origin = Origin(name="application", created_by="Application Layer")
        return [layers.add(origin, _tree_filler(tree, request.app_path, request.owner))]
    divided = tree.divide(lambda entry: assigned.get(entry.path))
    exported = []
    for number in sorted(key for key in divided if key is not None):
        origin = Origin(name=f"slice {number + 1}", created_by=f"Application Slice: {number + 1}")
        exported.append(layers.add(origin, _tree_filler(divided[number], request.app_path, request.owner)))
    rest = replace(divided.get(None) or tree.top, skipped=tree.skipped)
    origin = Origin(name="application", created_by=f"Application Slice: {len(slices) + 1}")
    return [*exported, layers.add(origin, _tree_filler(rest, request.app_path, request.owner))]


def _with_mode(tree: Tree, mode: int) -> Tree:
    return replace(tree, entries=(tree.entries[0]._replace(mode=mode), *tree.entries[1:]))


def _export_process_types(request: ExportRequest, layers: AppLayers) -> Layer | None:
    types = sorted({process.type for process in request.build.processes})
    if not types:
        return None

    def fill(archive: TarWriter) -> None:
        archive.parents(PROCESS_DIR / "type", ROOT)
        for process_type in types:
            archive.symlink(PROCESS_DIR / process_type, str(LAUNCHER_PATH), ROOT)

    return layers.add(Origin(name="process types", created_by="Buildpacks Process Types"), fill)


def _tree_filler(tree: Tree, path: PurePosixPath, owner: Owner) -> Callable[[TarWriter], None]:
    def fill(archive: TarWriter) -> None:
        archive.parents(path, owner)
        archive.entries(tree, path, owner)

    return fill


def _config_filler(request: ExportRequest) -> Callable[[TarWriter], None]:
    # Written anew: a buildpack may have left other things beside the file.
    with tempfile.TemporaryDirectory() as scratch:
        write_build_metadata(Path(scratch, "metadata.toml"), request.build)
        content = Path(scratch, "metadata.toml").read_bytes()
    path = request.layers_path / "config" / "metadata.toml"

    def fill(archive: TarWriter) -> None:
        archive.parents(path, request.owner)
        archive.file(path, content, request.owner)

    return fill


def _read_store(directory: Path) -> Mapping[str, object] | None:
    path = directory / "store.toml"
    if not is_real_directory(directory) or not path.exists():
        return None
    return read_table(path, follow_links=False).table("metadata").values


def _run_image_record(request: ExportRequest) -> RunImageRecord:
    base = request.extended_from or request.run_image
    known = request.analyzed.run_image
    return RunImageRecord(
        top_layer=str(base.layers[-1].diff_id) if base.layers else None,
        reference=known.reference if known else str(base.digest),
        image=(known.image or None) if known else None,
        mirrors=request.run_image_mirrors,
    )


def _labels(request: ExportRequest, metadata: LifecycleMetadata, layers: AppLayers) -> Mapping[str, str]:
    return {
        LIFECYCLE_LABEL: render_lifecycle_metadata(metadata),
        BUILD_LABEL: render_build_label(request.build, launcher={"version": __version__}),
        PROJECT_LABEL: request.project.render(),
        EXEC_ENV_LABEL: request.exec_env,
        LAUNCH_FACTS_LABEL: render_launch_facts(layers.launch_facts),
        LAUNCH_BASE_LABEL: render_launch_base(base_environment(request.run_image.config)),
        **{label.key: label.value for label in request.build.labels},
        **request.labels,
    }
