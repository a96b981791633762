"""The build phase: every buildpack of the group does its work (platform.md, "Build"; buildpack.md, "Phase #3: Build").

Runs `bin/build` in group order, each with what the earlier ones left in the environment and in the plan; writes
`<layers>/config/metadata.toml` and `<layers>/sbom`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lifecycle.catalogue import read_buildpack
from lifecycle.cnb.api import EXEC_ENV_BUILDPACK_API, fits_exec_env
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.environment import read_layer_environment, with_build_layer
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import Group
from lifecycle.cnb.launch import Label, LaunchFile, Process, Slice, read_launch_file, read_unmet
from lifecycle.cnb.layer import (
    LayerDirectory,
    LayerFile,
    is_real_directory,
    read_layers,
    remove_tree,
    write_layer_file,
)
from lifecycle.cnb.metadata import BuildMetadata, write_build_metadata
from lifecycle.cnb.plan import PlanEntry, ResolvedPlan
from lifecycle.collect import check_sbom_files, collect_sbom_files
from lifecycle.errors import BuildOutputError
from lifecycle.log import PhaseLog
from lifecycle.programs import Surroundings, run_build_program
from lifecycle.progress import Progress, write_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What the build needs. `env` is what the lifecycle passes on of its own environment."""

    group: Group
    plan: ResolvedPlan
    layers_dir: Path
    buildpacks_dir: Path
    surroundings: Surroundings
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What goes from one buildpack to the next."""

    env: Mapping[str, str]
    plan: ResolvedPlan
    processes: Mapping[str, Process]
    labels: tuple[Label, ...] = ()
    slices: tuple[Slice, ...] = ()
    default_process: str | None = None


def build(request: BuildRequest, log: PhaseLog) -> BuildMetadata:
    """Return what the buildpacks of the group want the image to be, after all of them ran.

    Raises `BuildpackFailed` when a buildpack gives up (no later one runs), `BuildOutputError` when what it left is not what
    the contract allows, and what `read_buildpack` raises.
    """
    descriptors = [read_buildpack(element, request.buildpacks_dir) for element in request.group.elements]
    remove_tree(request.layers_dir / "sbom")
    state = _State(env=request.env, plan=request.plan, processes={})
    progress = Progress()
    for element, descriptor in zip(request.group.elements, descriptors, strict=True):
        write_progress(request.layers_dir, progress.start(element))
        state = _run_buildpack(descriptor, state, request, log)
        progress = progress.finish(element)
    write_progress(request.layers_dir, progress)
    for descriptor in descriptors:
        collect_sbom_files(descriptor.id, request.layers_dir)
    metadata = BuildMetadata(
        buildpacks=request.group.elements,
        extensions=request.group.extensions,
        processes=tuple(process for _, process in sorted(state.processes.items())),
        labels=state.labels,
        slices=state.slices,
        default_process=state.default_process,
    )
    config = request.layers_dir / "config"
    config.mkdir(exist_ok=True)
    write_build_metadata(config / "metadata.toml", metadata)
    return metadata


def _run_buildpack(descriptor: Descriptor, state: _State, request: BuildRequest, log: PhaseLog) -> _State:
    own_layers = request.layers_dir / descriptor.id.directory_name
    own_layers.mkdir(parents=True, exist_ok=True)
    plan = state.plan.entries_for(descriptor.id)
    log.info(f"---> {descriptor.id} {descriptor.version}")
    run_build_program(descriptor, request.surroundings, state.env, layers_dir=own_layers, plan=plan, on_line=log.info)
    try:
        if descriptor.api >= EXEC_ENV_BUILDPACK_API:
            _give_up_foreign_layers(own_layers, request.surroundings.exec_env)
        layers = _read_build_layers(own_layers, log)
        check_sbom_files(descriptor, own_layers)
        launch = read_launch_file(own_layers / "launch.toml")
        unmet = read_unmet(own_layers / "build.toml")
        env = _extend_environment(state.env, descriptor, layers)
    except ConfigurationError as err:
        raise BuildOutputError(buildpack=descriptor.id, message=err.summary) from err
    state = _add_launch(state, descriptor, launch, log.warning)
    return replace(state, env=env, plan=_remaining_plan(state.plan, descriptor, plan, unmet))


def _give_up_foreign_layers(own_layers: Path, exec_env: str) -> None:
    """Take the types from layers that are for other execution environments (buildpack.md, "Layer Content Metadata (TOML)")."""
    for layer in read_layers(own_layers):
        if layer.file.types and not fits_exec_env(layer.file.exec_env, exec_env):
            write_layer_file(own_layers / f"{layer.name}.toml", LayerFile(metadata=layer.file.metadata))


def _read_build_layers(own_layers: Path, log: PhaseLog) -> tuple[LayerDirectory, ...]:
    """Return the layers that count; what has no type, or no file, is put out of the way."""
    layers = read_layers(own_layers)
    declared = {layer.name for layer in layers if layer.file.types}
    for directory in sorted(path for path in own_layers.iterdir() if is_real_directory(path)):
        if directory.name not in declared and not directory.name.endswith(".ignore"):
            ignored = directory.with_name(f"{directory.name}.ignore")
            log.detail(f"layer `{directory.name}` has no type: its directory is ignored")
            remove_tree(ignored)
            directory.rename(ignored)
    return tuple(layer for layer in layers if layer.file.types)


def _extend_environment(
    env: Mapping[str, str], descriptor: Descriptor, layers: tuple[LayerDirectory, ...]
) -> Mapping[str, str]:
    for layer in layers:
        if layer.file.types.build and layer.is_present:
            found = read_layer_environment(
                layer.path, buildpack=descriptor.id, name=layer.name, path=PurePosixPath(layer.path)
            )
            env = with_build_layer(env, found)
    return env


def _add_launch(state: _State, descriptor: Descriptor, launch: LaunchFile, warn: Callable[[str], None]) -> _State:
    processes, default = dict(state.processes), state.default_process
    for process in launch.processes:
        processes[process.type] = replace(process, default=False, buildpack=descriptor.id)
        if process.default:
            default = process.type
        elif process.type == default:
            warn(f"`{descriptor.id}` redefines the default process `{process.type}`, which is no default any more")
            default = None
    return replace(
        state,
        processes=processes,
        default_process=default,
        labels=state.labels + launch.labels,
        slices=state.slices + launch.slices,
    )


def _remaining_plan(
    plan: ResolvedPlan, descriptor: Descriptor, given: tuple[PlanEntry, ...], unmet: tuple[str, ...]
) -> ResolvedPlan:
    """Return the plan for the buildpacks after this one: without what it met, with what it gave back."""
    names = {entry.name for entry in given}
    for name in unmet:
        if name not in names:
            message = f"build.toml says that `{name}` is unmet, which is not in its plan"
            raise BuildOutputError(buildpack=descriptor.id, message=message)
    return plan.without(frozenset(names.difference(unmet)))
