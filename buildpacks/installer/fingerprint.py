"""What an environment is made of: the metadata of its layer, by which a later build knows that it can be used again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from buildpacks.installer.inputs import render_options
from buildpacks.installer.lock import Lock
from buildpacks.installer.projects import hash_content, hash_editable
from buildpacks.installer.reader import RequirementSet
from buildpacks.installer.tools import PipWheel, Python
from lifecycle.cnb.kit import Target

# To be raised when this buildpack makes something else of the same lock.
_LAYOUT = 1
# Set where an installation must be repeated, whatever the rest says.
WRITES_APP_DIRECTORY = "writes-app-directory"
_TITLES = {
    "layout": "the buildpack's way of making it",
    "lock": "the lock",
    "python": "Python",
    "python-path": "the path of Python",
    "installer": "the installer",
    "pip": "pip",
    "options": "the options of the requirement files",
    "projects": "a local project",
    "target": "what the image runs on",
}


def make_fingerprint(
    lock: Lock, found: RequirementSet, *, installer: str, pip: PipWheel, target: Target
) -> dict[str, object]:
    """Return everything but Python that decides the bytes of the environment, as layer metadata. Reads local projects.

    `installer` is a name and a version. What is compiled here is for the libraries of `target`.
    """
    editable = {line.requirement.path for line in found.requirements if line.is_editable}
    settings = [
        f"{line.requirement.name}: {line.config_settings}" for line in found.requirements if line.config_settings
    ]
    projects = "".join(
        f"{path} {hash_editable(path) if path in editable else hash_content(path)}\n" for path in found.local_projects
    )
    return {
        "layout": _LAYOUT,
        "lock": lock.sha256,
        "packages": len(lock.entries),
        "installer": installer,
        "pip": pip.version,
        "target": str(target),
        "options": "\n".join((*render_options(found), *settings)),
        "projects": hashlib.sha256(projects.encode()).hexdigest() if projects else "",
    }


def describe_python(python: Python) -> dict[str, object]:
    """Return what of the interpreter decides the bytes of an environment that is made for it, as layer metadata."""
    return {"python": str(python), "python-path": str(python.place)}


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[str, ...]:
    """Return why an environment with the metadata `old` is not one with `new`, one line each."""
    if old.get(WRITES_APP_DIRECTORY):
        return ("installing the local projects writes into the app directory",)
    found = []
    for key in sorted({*old, *new} - {"packages"}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        title = _TITLES.get(key, key)
        shows = key in ("python", "python-path", "installer", "pip", "target")
        found.append(f"{title} has changed from {before} to {after}" if shows else f"{title} has changed")
    return tuple(found)
