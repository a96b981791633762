"""An equivalent Dockerfile: what a build has resolved, as instructions for any builder of Dockerfiles.

It makes an environment with the same distributions in the same versions, not the same image: the base is a public one, and
files are where other tools put them.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybuild.environments.context import render_dockerfile
from pybuild.environments.definition import CondaPackages, Definition, PipPackages
from pybuild.environments.difference import CONDA_LOCK, REQUIREMENTS_LOCK
from pybuild.environments.stages import escape_of, insert_stage

PREFIX = "/opt/environment"
_STAGE = "pybuild-conda-packages"
"""Of the stage that installs conda's packages: what installs them is not in the image, and the base need not have a Python."""
_INSTALLER = "docker.io/library/python:3.12-slim-bookworm"
_PROGRAM, _PROGRAM_BEGIN = Path(__file__).with_name("conda_program.py"), "import asyncio\n"
# Packages that come by git need one in the image.
_DEBIAN, _DEBIAN_WITH_GIT = "docker.io/library/debian:bookworm-slim", "docker.io/library/buildpack-deps:bookworm-scm"
# One argument of a program has at most 128 KiB on Linux, and a RUN is one.
_CHUNK = 64 * 1024
_INSTALLER_ARGUMENT = f"ARG INSTALLER={_INSTALLER}"
_PIP_ARGUMENTS = (
    "# Where packages come from; leave them out for what pip takes by itself",
    "ARG PIP_INDEX_URL",
    "ARG PIP_EXTRA_INDEX_URL",
)
_NEWLINE = "\n"
# Those that say where packages come from, which a lock does not
_INDEX_OPTION = re.compile(r"--(?:index-url|extra-index-url|find-links|trusted-host)\b|-[if]\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a build has resolved. `python` and `pip`: versions, `None` where the build brought none."""

    locks: Mapping[str, str]
    """Texts by file name."""
    python: str | None
    pip: str | None
    stands_on_more: bool = False
    """Whether the image stands on what a Dockerfile makes that the definition does not have."""


def render_equivalent(title: str, definition: Definition, resolved: Resolved) -> str | None:
    """Return the Dockerfile; `None` for a repository whose Dockerfile, or whatever else without a lock, makes its image."""
    given = render_dockerfile(definition)
    requirements, conda = resolved.locks.get(REQUIREMENTS_LOCK), resolved.locks.get(CONDA_LOCK)
    is_repository = definition.repository is not None or bool(definition.files)
    if is_repository and (resolved.stands_on_more or (requirements is None and conda is None)):
        return None
    writer = _Writer(joins=given is not None and escape_of(given) != "\\")
    stage = [] if conda is None else list(_make_conda_stage(conda, writer))
    if given is None:
        lines = [f"# {title}, with the packages that pybuild resolved"]
        lines += ["# The files of the repository are not here: COPY them"] if is_repository else []
        lines += _begin(definition, resolved, stage)
    else:
        # A parser directive counts in the first line only.
        lines = [given if not stage else insert_stage(given, [_INSTALLER_ARGUMENT], stage)]
    if is_repository or definition.packages is not None:
        lines.append("USER root")
    if conda is not None:
        lines.append(f"COPY --from={_STAGE} {PREFIX} {PREFIX}")
        lines.append(f"ENV CONDA_PREFIX={PREFIX} PATH={PREFIX}/bin:$PATH")
        lines += _PIP_ARGUMENTS if requirements is not None else ()
    elif requirements is not None:
        lines += [*_PIP_ARGUMENTS, *_make_venv(resolved)]
    if requirements is not None:
        lines += _install_requirements(requirements, definition, writer)
    return "".join(f"{line.rstrip(_NEWLINE)}\n" for line in lines)


def _begin(definition: Definition, resolved: Resolved, stage: list[str]) -> Iterator[str]:
    needs_git = "git+" in resolved.locks.get(REQUIREMENTS_LOCK, "")
    if stage:
        yield _INSTALLER_ARGUMENT
        yield f"ARG BASE={_DEBIAN_WITH_GIT if needs_git else _DEBIAN}"
    else:
        yield f"ARG BASE=docker.io/library/python:{resolved.python or '3'}{'' if needs_git else '-slim'}-bookworm"
    yield from stage
    yield "FROM ${BASE}"
    yield from (f"ENV {name}={_quoted(value)}" for name, value in sorted(definition.variables.items()))


def _make_conda_stage(lock: str, writer: _Writer) -> Iterator[str]:
    yield f"FROM ${{INSTALLER}} AS {_STAGE}"
    yield "USER root"
    yield from _PIP_ARGUMENTS
    rattler = f"py-rattler=={importlib.metadata.version('py-rattler')}"
    yield f"RUN python3 -m pip install --no-cache-dir --target /opt/rattler {rattler}"
    yield from writer.write("/tmp/conda-explicit.lock", _logical_lines(lock, comments="#"))  # noqa: S108  # in the container
    program = _PROGRAM.read_text(encoding="utf-8")
    program = program[program.index(_PROGRAM_BEGIN) :]
    yield from writer.write("/tmp/install.py", program.splitlines())  # noqa: S108  # as above
    yield "# FROM=TO pairs of URLs, separated by spaces: where channels are fetched instead"
    yield "ARG BP_CONDA_MIRRORS"
    yield f"RUN PYTHONPATH=/opt/rattler python3 /tmp/install.py /tmp/conda-explicit.lock {PREFIX}"


def _make_venv(resolved: Resolved) -> Iterator[str]:
    pip = "pip" if resolved.pip is None else f"pip=={resolved.pip}"
    yield (
        f"RUN python3 -m venv --without-pip {PREFIX} && "
        f"python3 -m pip --python {PREFIX}/bin/python install --no-cache-dir {pip}"
    )
    yield f"ENV VIRTUAL_ENV={PREFIX} PATH={PREFIX}/bin:$PATH"


def _install_requirements(lock: str, definition: Definition, writer: _Writer) -> Iterator[str]:
    entries = list(_logical_lines(lock, comments="#"))
    local = [entry for entry in entries if entry.startswith(("/", "-e /")) or " @ file:" in entry]
    entries = [entry for entry in entries if entry not in local]
    yield from (f"# not here, because its files are not: {entry.partition(' ')[0]}" for entry in local)
    if not entries:
        return
    # pip wants hashes of all or of none.
    has_hashes = all(" --hash=" in entry for entry in entries)
    if not has_hashes:
        entries = [entry.partition(" --hash=")[0] for entry in entries]
    yield from writer.write("/tmp/requirements.lock", [*_index_options(definition), *entries])  # noqa: S108  # as above
    hashes = " --require-hashes" if has_hashes else ""
    yield f"RUN {PREFIX}/bin/python -m pip install --no-cache-dir --no-deps{hashes} --requirement /tmp/requirements.lock"


def _index_options(definition: Definition) -> Iterator[str]:
    match definition.packages:
        case PipPackages() as pip:
            lines = pip.requirements
        case CondaPackages() as conda:
            lines = conda.pip
        case _:
            lines = ()
    return (line for line in lines if _INDEX_OPTION.match(line))


def _logical_lines(text: str, *, comments: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        joined = " ".join(line.split())
        if joined and not joined.startswith(comments):
            yield joined


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Instructions that write files. `joins`: on one line, where the Dockerfile has chosen another character to continue lines."""

    joins: bool

    def write(self, path: str, lines: Iterable[str]) -> Iterator[str]:
        chunk: list[str] = []
        for line in lines:
            if chunk and sum(map(len, chunk)) + len(line) > _CHUNK:
                yield self._render(path, chunk)
                chunk = []
            chunk.append(shlex.quote(line))
        yield self._render(path, chunk)

    def _render(self, path: str, quoted: list[str]) -> str:
        separator = " " if self.joins else " \\\n    "
        return separator.join(["RUN printf '%s\\n'", *quoted, f">> {path}"])


def _quoted(value: str) -> str:
    escaped = re.sub(r'(["$\\])', r"\\\1", value)
    return f'"{escaped}"'
