"""An equivalent Dockerfile: what a build has resolved, as instructions for any builder of Dockerfiles.

It makes an environment with the same distributions in the same versions, not the same image: the base is a public one, and
files are where other tools put them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pybuild.environments.context import render_dockerfile
from pybuild.environments.definition import CondaPackages, Definition, PipPackages
from pybuild.environments.difference import CONDA_LOCK, REQUIREMENTS_LOCK

PREFIX = "/opt/environment"
_MICROMAMBA = "docker.io/mambaorg/micromamba:1.5.10"
_ESCAPE = re.compile(r"\s*#\s*escape\s*=", re.IGNORECASE)
# One argument of a program has at most 128 KiB on Linux, and a RUN is one.
_CHUNK = 64 * 1024
# Those that say where packages come from, which a lock does not
_INDEX_OPTION = re.compile(r"--(?:index-url|extra-index-url|find-links|trusted-host)\b|-[if]\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a build has resolved. `python` and `pip`: versions, `None` where the build brought none."""

    locks: Mapping[str, str]
    """Texts by file name."""
    python: str | None
    pip: str | None


def render_equivalent(title: str, definition: Definition, resolved: Resolved) -> str | None:
    """Return the Dockerfile; `None` for environments of whole repositories, which more than packages make."""
    if definition.repository is not None or definition.files:
        return None
    given = render_dockerfile(definition)
    requirements, conda = resolved.locks.get(REQUIREMENTS_LOCK), resolved.locks.get(CONDA_LOCK)
    # A parser directive counts in the first line only.
    lines = [] if given is not None else [f"# {title}, with the packages that pybuild resolved"]
    lines += list(_begin(given, definition, resolved, needs_conda=conda is not None))
    writer = _Writer(joins=given is not None and _ESCAPE.match(given) is not None)
    if conda is not None:
        lines += _install_conda(conda, writer)
    elif requirements is not None:
        lines += _make_venv(resolved)
    if requirements is not None:
        lines += _install_requirements(requirements, definition, writer)
    return "\n".join(lines) + "\n"


def _begin(given: str | None, definition: Definition, resolved: Resolved, *, needs_conda: bool) -> Iterator[str]:
    if given is not None:
        yield given.rstrip("\n")
        if needs_conda:
            yield f"COPY --from={_MICROMAMBA} /bin/micromamba /usr/local/bin/micromamba"
    else:
        base = _MICROMAMBA if needs_conda else f"docker.io/library/python:{resolved.python or '3'}-slim-bookworm"
        yield f"ARG BASE={base}"
        yield "FROM ${BASE}"
        yield from (f"ENV {name}={_quoted(value)}" for name, value in sorted(definition.variables.items()))
    if definition.packages is not None:
        yield "USER root"


def _install_conda(lock: str, writer: _Writer) -> Iterator[str]:
    yield from writer.write("/tmp/conda-explicit.lock", _logical_lines(lock, comments="#"))  # noqa: S108  # in the container
    yield f"RUN micromamba create --yes --prefix {PREFIX} --file /tmp/conda-explicit.lock && micromamba clean --all --yes"
    yield f"ENV CONDA_PREFIX={PREFIX} PATH={PREFIX}/bin:$PATH"


def _make_venv(resolved: Resolved) -> Iterator[str]:
    yield "# Where packages come from; leave them out for what pip takes by itself"
    yield "ARG PIP_INDEX_URL"
    yield "ARG PIP_EXTRA_INDEX_URL"
    pip = "pip" if resolved.pip is None else f"pip=={resolved.pip}"
    yield (
        f"RUN python -m venv --without-pip {PREFIX} && "
        f"python -m pip --python {PREFIX}/bin/python install --no-cache-dir {pip}"
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
