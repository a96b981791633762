"""config/metadata.toml: what the build phase tells the exporter and the launcher, and the label made from it
(platform.md, "metadata.toml (TOML)" and "io.buildpacks.build.metadata").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.api import ANY_EXEC_ENV
from lifecycle.cnb.group import GroupElement, parse_elements, render_elements
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.labels import BUILD_LABEL, ProjectMetadata
from lifecycle.cnb.launch import Label, Process, Slice, parse_process_type, parse_slices, render_slices
from lifecycle.cnb.toml import Table, read_table, write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildMetadata:
    """The outcome of the build phase. Processes are sorted by type, which is unique; labels and slices are in build order;
    `default_process` is the type of one of the processes.
    """

    buildpacks: tuple[GroupElement, ...]
    extensions: tuple[GroupElement, ...] = ()
    processes: tuple[Process, ...] = ()
    labels: tuple[Label, ...] = ()
    slices: tuple[Slice, ...] = ()
    default_process: str | None = None


def read_build_metadata(path: Path) -> BuildMetadata:
    """Return config/metadata.toml. Raises `ConfigurationError`."""
    document = read_table(path, follow_links=False)
    return BuildMetadata(
        buildpacks=parse_elements(document.tables("buildpacks")),
        extensions=parse_elements(document.tables("extensions")),
        processes=tuple(_parse_process(table, "buildpack-id") for table in document.tables("processes")),
        labels=tuple(
            Label(key=table.string("key"), value=table.optional_string("value") or "")
            for table in document.tables("labels")
        ),
        slices=parse_slices(document),
        default_process=document.optional_string("buildpack-default-process-type") or None,
    )


def write_build_metadata(path: Path, metadata: BuildMetadata) -> None:
    """Write config/metadata.toml."""
    values = {
        # There also where it is empty: scripts of pipelines ask for the process `web` where the file lacks the key.
        "buildpack-default-process-type": metadata.default_process or "",
        "buildpacks": render_elements(metadata.buildpacks),
        "extensions": render_elements(metadata.extensions) or None,
        "labels": [{"key": label.key, "value": label.value} for label in metadata.labels] or None,
        # platform.md: a process that is not restricted says so
        "processes": [
            {**_render_process(process, "buildpack-id"), "exec-env": process.exec_env or (ANY_EXEC_ENV,)}
            for process in metadata.processes
        ]
        or None,
        "slices": render_slices(metadata.slices) or None,
    }
    write_toml(path, values)


def render_build_label(metadata: BuildMetadata, *, launcher: Mapping[str, object]) -> str:
    """Return the JSON of `io.buildpacks.build.metadata`; `launcher` says which launcher the image has."""
    return render_json(
        {
            "buildpack-default-process-type": metadata.default_process,
            "buildpacks": render_elements(metadata.buildpacks),
            "extensions": render_elements(metadata.extensions) or None,
            "processes": [
                {**_render_process(process, "buildpackID"), "exec-env": process.exec_env or None}
                for process in metadata.processes
            ],
            "launcher": launcher,
        }
    )


def parse_build_label(label: str) -> BuildMetadata:
    """Return what the label `io.buildpacks.build.metadata` tells of a build; labels and slices are not in it.

    Raises `ConfigurationError`.
    """
    document = parse_json(label, source=f"label {BUILD_LABEL}")
    return BuildMetadata(
        buildpacks=parse_elements(document.tables("buildpacks")),
        extensions=parse_elements(document.tables("extensions")),
        processes=tuple(_parse_process(table, "buildpackID") for table in document.tables("processes")),
        default_process=document.optional_string("buildpack-default-process-type") or None,
    )


def read_project_metadata(path: Path) -> ProjectMetadata:
    """Return project-metadata.toml; an absent file says nothing."""
    if not path.exists():
        return ProjectMetadata()
    source = read_table(path).table("source")
    return ProjectMetadata(
        source_type=source.optional_string("type"),
        source_version=source.table("version").values,
        source_metadata=source.table("metadata").values,
    )


def write_project_metadata(path: Path, project: ProjectMetadata) -> None:
    """Write project-metadata.toml."""
    source = {
        "type": project.source_type,
        "version": project.source_version or None,
        "metadata": project.source_metadata or None,
    }
    write_toml(path, {"source": source})


def _parse_process(table: Table, buildpack_key: str) -> Process:
    exec_env = table.strings("exec-env")
    return Process(
        type=table.parsed("type", parse_process_type),
        command=table.strings("command"),
        args=table.strings("args"),
        working_dir=table.optional_string("working-dir") or None,
        exec_env=() if exec_env == (ANY_EXEC_ENV,) else exec_env,
        buildpack=table.parsed(buildpack_key, BuildpackId.parse),
    )


def _render_process(process: Process, buildpack_key: str) -> dict[str, object]:
    return {
        "type": process.type,
        "command": process.command,
        "args": process.args,
        # Since Buildpack API 0.9 there are no others; launchers still read the key.
        "direct": True,
        "working-dir": process.working_dir,
        buildpack_key: process.buildpack,
    }
