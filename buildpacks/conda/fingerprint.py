"""What an environment is made of: the metadata of the layer `env`, by which a later build knows that it can be used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildpacks.conda.lock import LockedPackage, hash_packages
from buildpacks.installer import fingerprint as pip_fingerprint

# To be raised when this buildpack makes something else of the same lock.
_LAYOUT = 1
_PIP = "pip-section"
_TITLES = {
    "layout": "the buildpack's way of making it",
    "lock": "the lock of conda's packages",
    "platform": "the platform",
    "installer": "the installer",
    "prefix": "the path of the environment",
}


def describe_conda(
    packages: Sequence[LockedPackage], *, platform: str, installer: str, prefix: Path
) -> dict[str, object]:
    """Return everything that decides the bytes of the prefix before `pip:` and `variables:` come to it."""
    return {
        "layout": _LAYOUT,
        "lock": hash_packages(packages),
        "packages": len(packages),
        "platform": platform,
        "installer": installer,
        "prefix": str(prefix),
    }


def conda_key(described: Mapping[str, object]) -> str:
    """Return a short name, in hex, for what `describe_conda` returned."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def describe_environment(
    conda: Mapping[str, object], *, pip: Mapping[str, object] | None, variables: Sequence[tuple[str, str]]
) -> dict[str, object]:
    """Return the metadata of the layer; `pip` is the fingerprint of the `pip:` section. No value of a variable is in it."""
    # A variable may be a password: it is in the image, where the user put it, and not in a label as well.
    hashed = hashlib.sha256(json.dumps(sorted(variables)).encode()).hexdigest() if variables else ""
    return {"conda": dict(conda), "variables": hashed, **({} if pip is None else {_PIP: dict(pip)})}


def with_pip_changes(metadata: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return the metadata with what installing the `pip:` section has added to its fingerprint."""
    return {**metadata, _PIP: {**_table(metadata, _PIP), **changes}}


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[str, ...]:
    """Return why an environment with the metadata `old` is not one with `new`, one line each."""
    found = []
    before, after = _table(old, "conda"), _table(new, "conda")
    for key in sorted({*before, *after} - {"packages"}):
        if before.get(key) != after.get(key):
            found.append(_describe(key, before.get(key), after.get(key)))
    if old.get("variables") != new.get("variables"):
        found.append("the `variables:` have changed")
    if (_PIP in old) != (_PIP in new):
        found.append("a `pip:` section was added" if _PIP in new else "the `pip:` section was removed")
    elif _PIP in new:
        reasons = pip_fingerprint.differences(_table(old, _PIP), _table(new, _PIP))
        found += [f"`pip:` section: {reason}" for reason in reasons]
    return tuple(found)


def _table(metadata: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = metadata.get(key)
    return found if isinstance(found, Mapping) else {}


def _describe(key: str, before: object, after: object) -> str:
    title = _TITLES.get(key, key)
    return f"{title} has changed" if key in ("layout", "lock") else f"{title} has changed from {before} to {after}"
