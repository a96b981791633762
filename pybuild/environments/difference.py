"""What one environment says, or has, otherwise than another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pybuild.environments.definition import CondaPackages, Definition, PipPackages, PoetryPackages

REQUIREMENTS_LOCK, CONDA_LOCK = "requirements.lock", "conda-explicit.lock"
"""What the locks of buildpacks are called: requirement lines with versions and hashes, and conda's `@EXPLICIT` list."""
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(?:===?|@)\s*([^\s;\\]+)", re.M | re.A)
_ARCHIVE = re.compile(r"^\S+/([^/\s]+)-([^/\s-]+)-([^/\s-]+)\.(?:conda|tar\.bz2)\b", re.M | re.A)


def describe_difference(before: Definition, after: Definition) -> tuple[str, ...]:
    """Return a line for each thing that is said otherwise: `+` what is new, `-` what is gone; none where both say the same."""
    return tuple(_compare(_lines_of(before), _lines_of(after)))


def _compare(before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key, ()), after.get(key, ())
        if old == new:
            continue
        yield f"{key}:"
        gone, come = [line for line in old if line not in new], [line for line in new if line not in old]
        if not gone and not come:
            yield "  the same, in another order"
        yield from (f"  - {line}" for line in gone)
        yield from (f"  + {line}" for line in come)


def _lines_of(definition: Definition) -> Mapping[str, tuple[str, ...]]:
    lines: dict[str, tuple[str, ...]] = {
        "base image": _one(definition.image),
        "Dockerfile": tuple((definition.dockerfile or "").splitlines()),
        "Python of the base image": _one(
            (definition.interpreter or "python") if definition.user_managed else None,
        ),
        "repository": _one(definition.repository),
        "variables": tuple(f"{name}={value}" for name, value in sorted(definition.variables.items())),
        **{path: tuple(text.splitlines()) for path, text in definition.files.items()},
    }
    match definition.packages:
        case None:
            pass
        case CondaPackages() as conda:
            lines |= {"channels": conda.channels, "conda packages": conda.packages}
            lines |= {"pip packages": conda.pip, "constraints": conda.constraints}
        case PipPackages() as pip:
            lines |= {"pip packages": pip.requirements, "constraints": pip.constraints}
            lines |= {"Python": _one(pip.python_version)}
        case PoetryPackages() as poetry:
            lines |= {path: tuple(text.splitlines()) for path, text in poetry.files.items()}
    return lines


def _one(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)


def describe_lock_difference(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    """Return a line for each package that two builds have resolved otherwise, sorted. Locks: texts by file name, by buildpack."""
    old, new = (dict(_packages_of(locks)) for locks in (before, after))
    lines = []
    for name in sorted({*old, *new}):
        match old.get(name), new.get(name):
            case None, version:
                lines.append(f"+ {name} {version}")
            case version, None:
                lines.append(f"- {name} {version}")
            case version, other if version != other:
                lines.append(f"~ {name} {version} -> {other}")
    return tuple(lines)


def _packages_of(locks: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Names and versions. Those of conda and of pip differ, so that a package that moves from one to the other is seen."""
    for texts in locks.values():
        yield from ((found[1].lower(), found[2]) for found in _PINNED.finditer(texts.get(REQUIREMENTS_LOCK, "")))
        yield from (
            (f"{found[1]} (conda)", f"{found[2]} {found[3]}") for found in _ARCHIVE.finditer(texts.get(CONDA_LOCK, ""))
        )
