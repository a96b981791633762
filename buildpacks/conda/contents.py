"""What packages an environment holds, for its bill of materials: conda's by `conda-meta`, and those that pip put over them.

A conda package that holds a Python distribution is named once, as what it was installed as.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.bill import Component, make_purl
from buildpacks.installer.contents import describe_distribution, known_hashes, read_distributions
from buildpacks.installer.installed import Distribution
from buildpacks.installer.lock import LockEntry

_METADATA = (".dist-info/METADATA", ".egg-info/PKG-INFO", ".egg-info")
# What those write who replace what conda has installed.
_INSTALLERS_OF_PIP = frozenset({"pip", "uv"})
_ARCHIVES = {".conda": "conda", ".tar.bz2": "tar.bz2"}
# Its channels have names; all others are known by their URLs.
_NAMED_CHANNELS = "https://conda.anaconda.org/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """An installed conda package."""

    component: Component
    metadata: frozenset[Path]
    """Of the distributions that it brought."""


def read_contents(prefix: Path, pip: Sequence[LockEntry] | None) -> tuple[Component, ...]:
    """Return a component for each conda package and each other distribution of `prefix`; `pip` is what the lock of
    the `pip:` section has."""
    found = (_read_record(path, prefix) for path in sorted((prefix / "conda-meta").glob("*.json")))
    records = [record for record in found if record is not None]
    if pip is None:
        return tuple(record.component for record in records)
    others = {one.metadata: one for one in _read_others(prefix, records)}
    hashes = dict(known_hashes(pip))
    # Of a package that pip has replaced, only the record is left.
    left = [one for one in records if not one.metadata or any(_is_there(path, others) for path in one.metadata)]
    return (
        *(record.component for record in left),
        *(describe_distribution(one, hashes) for one in others.values()),
    )


def _is_there(metadata: Path, others: Mapping[Path, Distribution]) -> bool:
    return metadata.is_file() and metadata not in others


def _read_others(prefix: Path, records: list[_Record]) -> Iterator[Distribution]:
    """The distributions that are not conda's."""
    of_conda = {path for record in records for path in record.metadata}
    for found in read_distributions(prefix):
        if found.metadata not in of_conda or _installer_of(found.metadata) in _INSTALLERS_OF_PIP:
            yield found


def _installer_of(metadata: Path) -> str:
    try:
        return (metadata.parent / "INSTALLER").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _read_record(path: Path, prefix: Path) -> _Record | None:
    """`None` for what is no record: any package may leave files there."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        return None
    name, version = (_text(values, "name"), _text(values, "version")) if isinstance(values, dict) else (None, None)
    if name is None or version is None:
        return None
    url = _text(values, "url") or ""
    qualifiers = {
        "build": _text(values, "build"),
        "channel": _name_channel(_text(values, "channel") or ""),
        "subdir": _text(values, "subdir"),
        "type": next((kind for suffix, kind in _ARCHIVES.items() if url.endswith(suffix)), None),
    }
    component = Component(
        name=name,
        version=version,
        purl=make_purl("conda", name, version, qualifiers),
        licence=_text(values, "license"),
        sha256=_text(values, "sha256"),
    )
    files = [str(file) for file in values.get("files") or ()]
    return _Record(
        component=component,
        metadata=frozenset(prefix / file for file in files if file.endswith(_METADATA)),
    )


def _name_channel(url: str) -> str:
    """`conda-forge` of conda's own host, else the URL."""
    return url.removeprefix(_NAMED_CHANNELS).rstrip("/")


def _text(values: Mapping[str, object], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) and value else None
