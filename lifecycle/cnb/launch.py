"""launch.toml and build.toml: what a buildpack says of the finished image and of its plan (buildpack.md, "launch.toml (TOML)")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.toml import Table, read_table, write_toml

_PROCESS_TYPE = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A way to start the image. `args` are the defaults, which a user's own replace; `working_dir` `None`: the app directory.

    `buildpack` is known once the process is in config/metadata.toml.
    """

    type: str
    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    default: bool = False
    working_dir: str | None = None
    exec_env: tuple[str, ...] = ()
    buildpack: BuildpackId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label for the image's config."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Files of the app directory that get a layer of their own: glob patterns as Go's `filepath.Match` has them."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFile:
    """The contents of launch.toml."""

    processes: tuple[Process, ...] = ()
    labels: tuple[Label, ...] = ()
    slices: tuple[Slice, ...] = ()


def read_launch_file(path: Path) -> LaunchFile:
    """Return launch.toml as Buildpack API 0.9 and later define it; an absent file says nothing. Raises `ConfigurationError`."""
    if not path.exists():
        return LaunchFile()
    document = read_table(path, follow_links=False)
    processes = tuple(_parse_process(table) for table in document.tables("processes"))
    _reject_duplicates(document, "processes", "type", [process.type for process in processes])
    if sum(process.default for process in processes) > 1:
        types = ", ".join(f"`{process.type}`" for process in processes if process.default)
        raise document.error(f"have more than one default: {types}", key="processes")
    labels = tuple(
        Label(key=table.string("key"), value=table.optional_string("value") or "")
        for table in document.tables("labels")
    )
    _reject_duplicates(document, "labels", "key", [label.key for label in labels])
    return LaunchFile(processes=processes, labels=labels, slices=parse_slices(document))


def write_launch_file(path: Path, launch: LaunchFile) -> None:
    """Write launch.toml."""
    values = {
        "labels": [{"key": label.key, "value": label.value} for label in launch.labels] or None,
        "processes": [_render_process(process) for process in launch.processes] or None,
        "slices": render_slices(launch.slices) or None,
    }
    write_toml(path, values)


def read_unmet(path: Path) -> tuple[str, ...]:
    """Return the names that build.toml gives back to the plan; an absent file gives nothing back."""
    if not path.exists():
        return ()
    return tuple(table.string("name") for table in read_table(path, follow_links=False).tables("unmet"))


def write_unmet(path: Path, names: tuple[str, ...]) -> None:
    """Write build.toml."""
    write_toml(path, {"unmet": [{"name": name} for name in names] or None})


def parse_slices(document: Table) -> tuple[Slice, ...]:
    """Return `[[slices]]`."""
    return tuple(Slice(paths=table.strings("paths")) for table in document.tables("slices"))


def render_slices(slices: tuple[Slice, ...]) -> list[Mapping[str, object]]:
    """Return what `parse_slices` reads."""
    return [{"paths": part.paths} for part in slices]


def parse_process_type(text: str) -> str:
    """Return a process type. Raises `ValueError`."""
    if _PROCESS_TYPE.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not a process type: letters, digits, `.`, `_` and `-`")
    return text


def _parse_process(table: Table) -> Process:
    if "direct" in table:
        raise table.error("is not allowed since Buildpack API 0.9: every process is direct", key="direct")
    command = table.strings("command")
    if not command:
        raise table.error("must name a program", key="command")
    return Process(
        type=table.parsed("type", parse_process_type),
        command=command,
        args=table.strings("args"),
        default=table.boolean("default", default=False),
        working_dir=table.optional_string("working-dir") or None,
        exec_env=table.strings("exec-env"),
    )


def _render_process(process: Process) -> dict[str, object]:
    return {
        "type": process.type,
        "command": process.command,
        "args": process.args or None,
        "default": True if process.default else None,
        "working-dir": process.working_dir,
        "exec-env": process.exec_env or None,
    }


def _reject_duplicates(document: Table, key: str, field: str, values: list[str]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise document.error(f"stands twice: `{value}`", key=f"{key}[{index}].{field}")
