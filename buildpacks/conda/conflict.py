"""Why no choice of packages satisfies all the lines, said so that a person sees which lines to change."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import rattler

from buildpacks.conda.failures import UnsolvableEnvironment
from buildpacks.conda.foreign import is_exported
from buildpacks.conda.settings import OVERRIDE_CUDA_VARIABLE, OVERRIDE_GLIBC_VARIABLE
from buildpacks.conda.specification import Entry, Problem
from lifecycle.cnb.kit import mask_credentials

# What follows in rattler's tree when the target does not have a virtual package, or not in that version.
_VIRTUAL = re.compile(r"(__[a-z0-9_]+) ?([^,\n]*), for which no candidates were found")
_PREFIX = "Cannot solve the request because of: "
_SHOWN = 5
_EXPLANATION_LINES = 60

# Names on PyPI, or of the module that is imported, of packages that conda-forge has under another name.
_CONDA_NAMES = {
    "bs4": "beautifulsoup4",
    "build": "python-build",
    "cv2": "opencv",
    "dateutil": "python-dateutil",
    "docker": "docker-py",
    "fitz": "pymupdf",
    "graphviz": "python-graphviz",
    "kaleido": "python-kaleido",
    "msgpack": "msgpack-python",
    "opencv-contrib-python": "opencv",
    "opencv-python": "opencv",
    "opencv-python-headless": "opencv",
    "pil": "pillow",
    "psycopg2-binary": "psycopg2",
    "pyqt5": "pyqt",
    "pyqt6": "pyqt",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tables": "pytables",
    "torch": "pytorch",
    "yaml": "pyyaml",
}


class Index(Protocol):
    """What the channels have."""

    def names(self) -> frozenset[str]:
        """Return the names of all packages."""

    def versions(self, name: str) -> tuple[rattler.RepoDataRecord, ...]:
        """Return the packages of that name: those of the first channel first, the oldest of a channel first."""


def explain_conflict(
    entries: Sequence[Entry],
    specs: Mapping[Entry, rattler.MatchSpec],
    text: str,
    *,
    fails: Callable[[Sequence[Entry]], str | None],
    index: Index,
    deadline: float,
) -> UnsolvableEnvironment:
    """Return the error for a solve of `entries` that ended with rattler's `text`.

    `fails` solves fewer lines and returns rattler's text when that is impossible too, else `None`; `deadline` is a value of
    `time.monotonic()`.
    """
    file = entries[0].origin.file if entries else "environment.yml"
    known = index.names()
    problems = tuple(
        problem for entry in entries for problem in _find_problems(entry, specs[entry], index=index, known=known)
    )
    if problems:
        return UnsolvableEnvironment(file=file, problems=problems, conflict=(), explanation="")
    conflict, text = _smallest_failing(entries, text, fails, deadline)
    explanation = shorten(text)
    advice = _find_virtual(text) or _advise(conflict)
    return UnsolvableEnvironment(file=file, problems=(), conflict=conflict, explanation=explanation, advice=advice)


def _find_problems(
    entry: Entry, spec: rattler.MatchSpec, *, index: Index, known: frozenset[str]
) -> tuple[Problem, ...]:
    """What is wrong with a line whatever the others say."""
    name = spec.name.normalized
    if not name or name.startswith("__"):
        return ()
    if name not in known:
        return (
            Problem(
                origin=entry.origin,
                kind="unknown-package",
                message=f"no channel has a package `{name}`",
                change=_suggest_name(name, known),
            ),
        )
    if spec.channel is not None:
        return ()
    everywhere = index.versions(name)
    records = [record for record in everywhere if record.channel == everywhere[0].channel]
    if any(spec.matches(record) for record in records):
        return ()
    elsewhere = next((record for record in everywhere if spec.matches(record)), None)
    if elsewhere is not None:
        # Strict priority: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-channels.html
        first, other = (mask_credentials(channel.channel or "").rstrip("/") for channel in (records[0], elsewhere))
        return (
            Problem(
                origin=entry.origin,
                kind="unknown-version",
                message=f"`{entry.text}` is in `{other}` only, and `{first}`, which is listed before it, has other versions",
                change=f"write `{other.rpartition('/')[2]}::{entry.text}`, or move that channel up",
            ),
        )
    versions = list(dict.fromkeys(str(record.version) for record in records))
    if spec.build is not None and spec.version is not None:
        without_build = rattler.MatchSpec(f"{name} {spec.version}")
        builds = [f"{record.version}={record.build}" for record in records if without_build.matches(record)]
        versions = list(dict.fromkeys(builds)) or versions
    shown = ", ".join(f"`{version}`" for version in versions[-_SHOWN:])
    change = (
        f"there {'is' if len(versions) == 1 else 'are'} {shown}{' and older ones' if len(versions) > _SHOWN else ''}"
    )
    message = f"no channel has `{entry.text}`"
    if is_exported(entry.text):
        message += " with this build string, which is another one on every system"
        change = f"write `{name}={_plain_version(spec)}`: `pybuild fix` does so for all lines"
    return (Problem(origin=entry.origin, kind="unknown-version", message=message, change=change),)


def _suggest_name(name: str, known: frozenset[str]) -> str:
    translated = _CONDA_NAMES.get(name)
    candidates = [
        candidate for candidate in (translated, f"r-{name}", f"python-{name}", f"py{name}") if candidate in known
    ]
    candidates += [near for near in difflib.get_close_matches(name, known, n=3, cutoff=0.8) if near not in candidates]
    if candidates:
        return f"did you mean {' or '.join(f'`{candidate}`' for candidate in candidates[:3] if candidate)}?"
    return "correct its name; if it is a package of PyPI, move the line below `pip:`"


def _plain_version(spec: rattler.MatchSpec) -> str:
    return (spec.version or "*").removeprefix("==").removesuffix(".*")


def _find_virtual(text: str) -> str | None:
    """What to set where the target lacks what packages ask for."""
    for name, version in _VIRTUAL.findall(text):
        wanted = f"{name[2:]} {version}".strip(" *")
        if name == "__cuda":
            return f"it asks for a graphics card ({wanted}): set `{OVERRIDE_CUDA_VARIABLE}` to the CUDA version of the machines that run it"
        if name == "__glibc":
            return (
                f"it asks for {wanted}, and the run image has an older one: ask for an older version of the package, or set"
                f" `{OVERRIDE_GLIBC_VARIABLE}` where the image will run on another base"
            )
        if name in ("__win", "__osx"):
            system = "Windows" if name == "__win" else "macOS"
            return f"it is a package for {system}, and an image runs Linux: remove the line (`pybuild fix` does so)"
        return f"it asks for `{wanted}`, which images do not have"
    return None


def _smallest_failing(
    entries: Sequence[Entry], text: str, fails: Callable[[Sequence[Entry]], str | None], deadline: float
) -> tuple[tuple[Entry, ...], str]:
    """Lines that fail together and would not without any one of them, and why; more where the time did not suffice."""
    kept = list(entries)
    # Half of the lines at a time first: a file of a hundred lines has most of them gone after a few attempts.
    size = len(kept) // 2
    while size >= 1:
        start = 0
        while start < len(kept):
            if time.monotonic() > deadline:
                return tuple(kept), text
            fewer = kept[:start] + kept[start + size :]
            why = fails(fewer) if fewer else None
            if why is None:
                start += size
            else:
                kept, text = fewer, why
        size //= 2
    return tuple(kept), text


def _advise(conflict: Sequence[Entry]) -> str:
    if any(is_exported(entry.text) for entry in conflict):
        return "build strings tie a file to one system: `pybuild fix` removes them"
    if len(conflict) == 1:
        return "ask for another version of it"
    return "change the version of one of these lines, or leave it out: the solver then chooses one that fits"


def shorten(text: str) -> str:
    """Return rattler's explanation without its first words and its last thousand lines."""
    lines = text.removeprefix(_PREFIX).strip().splitlines()
    hidden = len(lines) - _EXPLANATION_LINES
    return "\n".join([*lines[:_EXPLANATION_LINES], *([f"({hidden} more lines)"] if hidden > 0 else [])])
