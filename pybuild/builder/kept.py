"""Directories of the store that are made once: by one process, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from lifecycle.cnb.layer import remove_tree

_MAKING, _RETIRED = ".making-", ".retired-"
# A build that started with the old directory may still use it; no build takes longer.
_RETIREMENT_S = 24 * 3600


def content_key(*parts: object) -> str:
    """Name for what is made from `parts` (JSON values): the same parts, the same name."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def make_directory(directory: Path, make: Callable[[Path], None]) -> None:
    """Put at `directory` what `make` writes into an empty one; what was there is retired. The caller holds the lock.

    Nothing is at `directory` before `make` has returned. What a killed process left is removed first.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(directory)
    making = directory.parent / f"{_MAKING}{directory.name}"
    making.mkdir()
    try:
        make(making)
        if directory.exists():
            retired = directory.parent / f"{_RETIRED}{directory.name}-{secrets.token_hex(4)}"
            directory.rename(retired)
            os.utime(retired)
        making.rename(directory)
    except BaseException:
        remove_tree(making)
        raise


def _remove_leftovers(directory: Path) -> None:
    remove_tree(directory.parent / f"{_MAKING}{directory.name}")
    for path in directory.parent.glob(f"{_RETIRED}*"):
        if time.time() - path.lstat().st_mtime > _RETIREMENT_S:
            remove_tree(path)


def mark_used(directory: Path) -> None:
    """Remember that `directory` is used today."""
    with contextlib.suppress(PermissionError):
        os.utime(directory)


def forget_unused(parent: Path, older_than_s: float) -> None:
    """Remove what nobody has marked as used for so long. The caller holds the lock."""
    for path in parent.glob("*"):
        if path.is_dir() and time.time() - path.stat().st_mtime > older_than_s:
            remove_tree(path)


def link_tree(source: Path, target: Path) -> None:
    """Make `target` a copy of `source` whose files take no space of their own, where the file system can do that.

    Whoever changes a file afterwards, changes it in both.
    """
    shutil.copytree(source, target, symlinks=True, copy_function=link_file)


def link_file(source: str | Path, target: str | Path) -> None:
    """Make `target` the same file as `source`, or a copy on another file system."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def tree_hash(directory: Path) -> str:
    """Hash of the names, modes and contents of a tree of sources."""
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if "__pycache__" in path.parts or not path.is_file():
            continue
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(directory)}\0{path.stat().st_mode & 0o100}\0{content}\n".encode())
    return total.hexdigest()
