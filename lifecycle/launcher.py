"""Writes `/cnb/lifecycle/launcher`, the program that starts the processes of an image (platform.md, "Launch").

It is a shell program, because a run image need not have Python, written for one image: the processes and what the layers do
to the environment are known. `launcher.sh` is all of it that is the same in every image.
"""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lifecycle.cnb.api import PLATFORM_APIS
from lifecycle.cnb.environment import LayerEnvironment, launch_environment
from lifecycle.cnb.launch import Process
from lifecycle.oci.archive import ROOT, TarWriter

LAUNCHER_PATH = PurePosixPath("/cnb/lifecycle/launcher")
PROCESS_DIR = PurePosixPath("/cnb/process")
# Beside this module, which may be in an archive.
_TEMPLATE = "launcher.sh"
_MARKER = re.compile(r"@([A-Z_]+)@")
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Stands for whatever value a variable has when the container starts: no value can hold it.
_CURRENT = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a launcher is written for. `layers` are the launch layers in the order of the image, `base` the environment of the
    run image, `exported` that of the app image; `app_dir` is where the application is in the image.
    """

    processes: Sequence[Process]
    layers: Sequence[LayerEnvironment]
    base: Mapping[str, str]
    exported: Mapping[str, str]
    app_dir: PurePosixPath


def render_launcher(launch: Launch) -> bytes:
    """Return the program."""
    exec_d = [str(layer.path / "exec.d") for layer in launch.layers]
    profiles = [f"{_quote(str(layer.path / 'profile.d'))}/*" for layer in launch.layers]
    values = {
        "PLATFORM_APIS": " | ".join(str(version) for version in PLATFORM_APIS),
        "APP_DIR": _quote(str(launch.app_dir)),
        "TYPES": ", ".join(process.type for process in launch.processes) or "there are none",
        "PROCESSES": "\n".join(_render_process(process, launch.app_dir) for process in launch.processes),
        "ENVIRONMENTS": "\n".join(_render_environments(launch)),
        "EXEC_D": " ".join(map(_quote, exec_d)),
        # This one stands inside of single quotes.
        "PROFILES": " ".join([*profiles, _quote(str(launch.app_dir / ".profile"))]).replace("'", "'\\''"),
    }
    text = _MARKER.sub(lambda match: values[match[1]], _read_template())
    return os.fsencode(text)


def _read_template() -> str:
    content = pkgutil.get_data("lifecycle", _TEMPLATE)
    if content is None:
        raise AssertionError(f"{_TEMPLATE} does not lie beside this module")
    return content.decode()


def launcher_filler(launch: Launch) -> Callable[[TarWriter], None]:
    """Return what writes the layer of the launcher."""
    program = render_launcher(launch)

    def fill(archive: TarWriter) -> None:
        archive.parents(LAUNCHER_PATH, ROOT)
        archive.file(LAUNCHER_PATH, program, ROOT, mode=0o755)

    return fill


def _render_process(process: Process, app_dir: PurePosixPath) -> str:
    program, *fixed = process.command
    lines = [f"    {_quote(process.type)})"]
    if process.exec_env:
        allowed = " ".join(_quote(name) for name in process.exec_env)
        message = _quote(f"process type `{process.type}` is not for this execution environment")
        lines.append(f"        _pb_eligible {allowed} || _pb_fail {message}")
    if process.args:
        lines.append(f"        [ $# -gt 0 ] || set -- {' '.join(map(_quote, process.args))}")
    lines.append(f'        set -- {" ".join(map(_quote, [program, *fixed]))} "$@"')
    if process.working_dir is not None:
        lines.append(f"        _pb_directory={_quote(str(app_dir / process.working_dir))}")
    return "\n".join([*lines, "        ;;"])


def _render_environments(launch: Launch) -> Iterator[str]:
    """A branch for each process type that has files of its own in a layer, and one for everything else."""
    types = sorted({process.type for process in launch.processes})
    for process_type in types:
        if any(layer.files_in(f"env.launch/{process_type}") for layer in launch.layers):
            yield from _render_branch(_quote(process_type), launch, process_type)
    yield from _render_branch("*", launch, None)


def _render_branch(pattern: str, launch: Launch, process_type: str | None) -> Iterator[str]:
    yield f"    {pattern})"
    target = launch_environment(launch.layers, launch.base, process_type=process_type)
    for name in _variables(launch, process_type):
        yield from _render_variable(name, launch, target, process_type)
    yield "        ;;"


def _variables(launch: Launch, process_type: str | None) -> list[str]:
    """Names that the layers do something to, whatever value they have."""
    files = {file.partition("/")[2] for layer in launch.layers for file in layer.files}
    names = {file.rpartition("/")[2].partition(".")[0] for file in files} | {"PATH", "LD_LIBRARY_PATH"}
    return sorted(
        name
        for name in names
        # A default does nothing to a value, and something to none.
        if any((_applied(name, value, launch, process_type) or "") != value for value in ("", _CURRENT))
    )


def _applied(name: str, value: str, launch: Launch, process_type: str | None) -> str | None:
    base = {**launch.base, name: value}
    return launch_environment(launch.layers, base, process_type=process_type).get(name)


def _render_variable(name: str, launch: Launch, target: Mapping[str, str], process_type: str | None) -> Iterator[str]:
    wanted = target.get(name, "")
    if _SHELL_NAME.fullmatch(name) is None:
        # A shell loses variables that it could not name, so nobody can have changed it.
        yield f'        _pb_extra="$_pb_extra "{_quote(_quote(f"{name}={wanted}"))}'
        return
    without = _applied(name, "", launch, process_type) or ""
    changed = _applied(name, _CURRENT, launch, process_type) or ""
    unchanged = dict.fromkeys([launch.exported.get(name) or wanted, wanted])
    if changed == wanted == without:
        yield f"        {name}={_quote(wanted)}"
        yield f"        export {name}"
        return
    before, current, after = changed.partition(_CURRENT)
    value = f'{_quote(before)}"${name}"{_quote(after)}' if current else _quote(changed)
    yield f"        case ${{{name}-}} in"
    yield f"            '') {name}={_quote(without)} ;;"
    yield f"            {' | '.join(_quote(text) for text in unchanged if text)}) {name}={_quote(wanted)} ;;"
    yield f"            *) {name}={value} ;;"
    yield "        esac"
    yield f"        export {name}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
