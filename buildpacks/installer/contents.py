"""What Python packages an environment holds, for its bill of materials.

Read from what is installed (https://packaging.python.org/en/latest/specifications/recording-installed-packages/), not from what
was to be installed; of the lock there is only the hash of the file that a distribution came in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from buildpacks.installer.bill import Component, make_purl
from buildpacks.installer.installed import Distribution, read_installed
from buildpacks.installer.lock import LockEntry

_SHA256 = "sha256:"


def read_contents(prefix: Path, entries: Iterable[LockEntry]) -> tuple[Component, ...]:
    """Return a component for each distribution below `lib/python3*/site-packages` of `prefix`, whose lock has `entries`."""
    hashes = dict(known_hashes(entries))
    return tuple(describe_distribution(found, hashes) for found in read_distributions(prefix))


def read_distributions(prefix: Path) -> tuple[Distribution, ...]:
    """Return what is installed in `prefix`, of each of its Pythons."""
    directories = sorted(prefix.glob("lib/python3*/site-packages"))
    return tuple(found for directory in directories for found in read_installed(directory))


def describe_distribution(distribution: Distribution, hashes: Mapping[str, str]) -> Component:
    """Return a distribution as a component; `hashes` are SHA-256 of files in hex, by canonical names."""
    return Component(
        name=distribution.name,
        version=distribution.version,
        purl=_make_purl(distribution),
        licence=distribution.licence,
        sha256=hashes.get(distribution.name),
    )


def known_hashes(entries: Iterable[LockEntry]) -> Iterator[tuple[str, str]]:
    """Yield canonical names with the SHA-256, in hex, of the one file that a lock allows; where it allows several, nobody says which
    one was installed.
    """
    for entry in entries:
        strong = [value.removeprefix(_SHA256) for value in entry.hashes if value.startswith(_SHA256)]
        if entry.name is not None and len(strong) == 1 == len(entry.hashes):
            yield entry.name, strong[0]


def _make_purl(distribution: Distribution) -> str | None:
    origin = _read_origin(distribution)
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        # A project of that name on PyPI would be another one.
        return None
    vcs = origin.get("vcs_info")
    qualifiers: dict[str, str | None] = {}
    if isinstance(vcs, Mapping):
        qualifiers["vcs_url"] = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    elif url:
        qualifiers["download_url"] = url
    return make_purl("pypi", distribution.name, distribution.version, qualifiers)


def _read_origin(distribution: Distribution) -> Mapping[str, object]:
    """`direct_url.json` (PEP 610), which what comes from an index does not have."""
    try:
        values = json.loads((distribution.metadata.parent / "direct_url.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
