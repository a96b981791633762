"""The export phase: layers on the run image become the app image (platform.md, "Export").

Layers, in this order: those of the run image, launch layers by buildpack and name, bills of materials, slices and rest of the
application, launcher, config, process types. What the previous image has already is taken from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lifecycle import __version__
from lifecycle.app_config import app_config, app_environment, base_environment, choose_entrypoint, render_time
from lifecycle.app_layers import AppLayers, ExportedLayer
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
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.slices import assign_slices

_IMAGE_USER = Owner(user_id=1000, group_id=1000)
_LAYERS_PATH, _APP_PATH = PurePosixPath("/layers"), PurePosixPath("/workspace")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLayer:
    """A launch layer of another application."""

    layer: Layer
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
    run_image_mirrors: tuple[str, ...] = ()
    previous: Image | None = None
    """The image whose label is `analyzed.previous`."""
    find_shared: Callable[[str], SharedLayer | None] = lambda _: None
    """The layer of that key (`lifecycle.cnb.shared`), asked where neither a directory nor the previous image has it."""
    blobs_dir: Path
    """Gets a file for each new layer, named by the hexadecimal part of its digest, as in `blobs/sha256` of a layout."""
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
    """The app image, its layers (base first), and what its lifecycle label says."""

    image: Image
    layers: tuple[ExportedLayer, ...]
    metadata: LifecycleMetadata


def export(
    request: ExportRequest, log: PhaseLog, *, on_progress: Callable[[str, int], None] | None = None
) -> ExportedImage:
    """Return the app image; its blobs are on disk, where it goes is up to the exporters.

    `on_progress` gets the name of a layer and the bytes of it that were archived so far.

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
        on_progress=on_progress,
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
    launcher = layers.add("launcher", "Buildpacks Application Launcher", launcher_filler(launch))
    config = layers.add("config", "Buildpacks Launcher Config", _config_filler(request))
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
    return ExportedImage(image=image, layers=tuple(layers.exported), metadata=metadata)


def _export_buildpack(element: GroupElement, request: ExportRequest, layers: AppLayers) -> BuildpackRecord:
    directory = request.layers_dir / element.id.directory_name
    found = [layer for layer in read_layers(directory) if layer.file.types.launch]
    records = {layer.name: _export_launch_layer(element, layer, request, layers) for layer in found}
    return BuildpackRecord(id=element.id, version=element.version, layers=records, store=_read_store(directory))


def _export_launch_layer(
    element: GroupElement, layer: LayerDirectory, request: ExportRequest, layers: AppLayers
) -> LayerRecord:
    name = f"{element.id}:{layer.name}"
    created_by = f"Layer: '{layer.name}', Created by buildpack: {element}"
    path = request.layers_path / element.id.directory_name / layer.name
    if layer.is_present:
        exported = layers.add(name, created_by, _tree_filler(layer.path, path, request.owner))
        facts = read_layer_environment(layer.path, buildpack=element.id, name=layer.name, path=path)
    elif (shared := _find_shared(element, layer, path, request)) is not None:
        exported = layers.take(name, created_by, shared.layer)
        facts = parse_layer_environment(shared.environment, buildpack=element.id, name=layer.name, path=path)
    else:
        exported = _reuse_launch_layer(element, layer, name, created_by, request, layers)
        labels = request.previous.config.labels if request.previous else {}
        facts = recall_environment(labels, exported, buildpack=element.id, name=layer.name, path=path)
    layers.set_environment(exported, facts)
    return LayerRecord(sha=str(exported.diff_id), types=layer.file.types, metadata=layer.file.metadata)


def _find_shared(
    element: GroupElement, layer: LayerDirectory, path: PurePosixPath, request: ExportRequest
) -> SharedLayer | None:
    known = request.analyzed.previous.layer(element.id, layer.name)
    if layer.file.types.cache or (known is not None and known.metadata == layer.file.metadata):
        return None
    return request.find_shared(layer_key(path, layer.file.metadata))


def _reuse_launch_layer(
    element: GroupElement,
    layer: LayerDirectory,
    name: str,
    created_by: str,
    request: ExportRequest,
    layers: AppLayers,
) -> Layer:
    if layer.file.types.cache:
        raise ExportError(message=f"layer `{name}` is a launch and cache layer, but its directory is not there")
    record = request.analyzed.previous.layer(element.id, layer.name)
    if record is None or record.sha is None:
        raise ExportError(
            message=f"launch layer `{name}` has no directory, and the previous image has no such layer to reuse"
        )
    exported = layers.reuse(name, created_by, record.sha)
    if exported is None:
        raise ExportError(message=f"layer `{name}` cannot be reused: the previous image lacks its blob {record.sha}")
    return exported


def _export_sbom(request: ExportRequest, layers: AppLayers) -> Layer | None:
    directory = request.layers_dir / "sbom" / "launch"
    if not is_real_directory(directory.parent) or not is_real_directory(directory):
        return None
    path = request.layers_path / "sbom" / "launch"
    return layers.add("sbom", "Software Bill-of-Materials", _tree_filler(directory, path, request.owner))


def _export_app(request: ExportRequest, layers: AppLayers) -> list[Layer]:
    """The slices that take anything, then the rest of the application, also when that is only its empty directory."""
    slices = request.build.slices
    assigned = assign_slices(request.app_dir, request.app_path, slices) if slices else {}
    if not assigned:
        fill = _tree_filler(request.app_dir, request.app_path, request.owner)
        return [layers.add("application", "Application Layer", fill)]
    exported = []
    for number in sorted(set(assigned.values())):
        fill = _selection_filler(request, assigned, number)
        exported.append(layers.add(f"slice {number + 1}", f"Application Slice: {number + 1}", fill))
    rest = _selection_filler(request, assigned, None)
    created_by = f"Application Slice: {len(slices) + 1}"
    return [*exported, layers.add("application", created_by, rest)]


def _export_process_types(request: ExportRequest, layers: AppLayers) -> Layer | None:
    types = sorted({process.type for process in request.build.processes})
    if not types:
        return None

    def fill(archive: TarWriter) -> None:
        archive.parents(PROCESS_DIR / "type", ROOT)
        for process_type in types:
            archive.symlink(PROCESS_DIR / process_type, str(LAUNCHER_PATH), ROOT)

    return layers.add("process types", "Buildpacks Process Types", fill)


def _tree_filler(tree: Path, path: PurePosixPath, owner: Owner) -> Callable[[TarWriter], None]:
    def fill(archive: TarWriter) -> None:
        archive.parents(path, owner)
        archive.tree(tree, path, owner)

    return fill


def _selection_filler(
    request: ExportRequest, assigned: Mapping[bytes, int], number: int | None
) -> Callable[[TarWriter], None]:
    def fill(archive: TarWriter) -> None:
        archive.parents(request.app_path, request.owner)
        archive.tree(request.app_dir, request.app_path, request.owner, select=lambda path: assigned.get(path) == number)

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
    base = request.run_image
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
