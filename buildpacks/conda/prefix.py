"""The prefix: where the environment lies, and what is made of it so that two builds of one lock give the same bytes.

The prefix is not the layer itself but a directory in it. A lifecycle adds `lib` of a layer to LD_LIBRARY_PATH
(buildpack.md, "Layer Paths"), and with the libraries of an environment there the programs of the run image break: Debian's
curl does not work with conda's libcurl. Packages find their libraries relative to themselves.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildpacks.conda.lock import LockedPackage
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.toml import write_atomically

ENV_LAYER = "env"
PREFIX_NAME = "conda"
EXPLICIT_LOCK_NAME = "conda-explicit.lock"
# What rattler notes in a record for its own next run: paths of this build, and the day on which a channel was indexed.
_OF_THIS_BUILD = ("extracted_package_dir", "package_tarball_full_path", "link", "indexed_timestamp")


def prefix_path(layers_dir: Path) -> Path:
    """Return the prefix, which is at the same place in the build and in the image."""
    return layers_dir / ENV_LAYER / PREFIX_NAME


def record_path(prefix: Path, package: LockedPackage) -> Path:
    """Return the file in which an installed package is described."""
    return prefix / "conda-meta" / f"{package.file_name.removesuffix(package.suffix)}.json"


def read_record(prefix: Path, package: LockedPackage) -> dict[str, object]:
    """Return what the prefix says of a package that was installed."""
    values: dict[str, object] = json.loads(record_path(prefix, package).read_bytes())
    return values


def scrub(prefix: Path, packages: Sequence[LockedPackage]) -> None:
    """Take out what tells of this machine or this build; names of channels become public URLs."""
    # Backup programs leave out a directory with this tag.
    (prefix / "CACHEDIR.TAG").unlink(missing_ok=True)
    for package in packages:
        values = read_record(prefix, package)
        for key in _OF_THIS_BUILD:
            values.pop(key, None)
        values |= {"url": package.url, "channel": package.channel}
        _write(record_path(prefix, package), json.dumps(values, indent=2, ensure_ascii=False))
    # conda takes a directory for an environment that has this file; it would list what was asked for, and when.
    _write(prefix / "conda-meta" / "history", "")
    # It would keep pip from installing into the environment, which belongs to whoever runs the image
    # (https://packaging.python.org/en/latest/specifications/externally-managed-environments/).
    for marker in prefix.glob("lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()


def write_state(prefix: Path, variables: Mapping[str, str]) -> None:
    """Write `conda-meta/state`, where conda keeps the `variables:` of an environment file."""
    state = prefix / "conda-meta" / "state"
    if variables:
        _write(state, json.dumps({"version": 1, "env_vars": dict(sorted(variables.items()))}, ensure_ascii=False))


def link_tree(source: Path, target: Path) -> None:
    """Make `target` the same tree as `source`, of hard links where the file system allows; `target` is replaced."""
    remove_tree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, symlinks=True, copy_function=_link)


def hash_tree(root: Path) -> str:
    """Return a hash, in hex, of names, sizes, times and modes: another one when something was changed or edited in place."""
    digest = hashlib.sha256()
    pending = [str(root)]
    while pending:
        directory = pending.pop()
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
                facts = f"{status.st_mode}"
            else:
                facts = f"{status.st_mode} {status.st_size} {status.st_mtime_ns}"
            digest.update(os.fsencode(os.path.relpath(entry.path, root)) + f"\0{facts}\0".encode())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    # A new file, never the old one edited: its content may be shared with the cache.
    write_atomically(path, text.encode())


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as err:
        if err.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        shutil.copy2(source, target, follow_symlinks=False)
