"""Recognizes trees that were made layers before: then they need not be compressed again, or not even be read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from lifecycle.cnb.toml import read_regular_file
from lifecycle.oci.archive import Owner, TarWriter
from lifecycle.oci.blob import hash_layers
from lifecycle.oci.image import Layer
from lifecycle.oci.tree import Entry, Tree

# The kit writes these files anew in each build; they are small, so what they hold is looked at.
_ENVIRONMENT = (b"env/", b"env.build/", b"env.launch/")
_READ_UP_TO = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizable:
    """A tree that will be a layer. `listing` and `stamp` are what it is known by, in hex; `fill` writes its archive."""

    fill: Callable[[TarWriter], None]
    listing: str
    """Of names, kinds, modes and sizes: trees that are the same have the same, but not the other way round."""
    stamp: str | None = None
    """Of the inodes and times as well: the same only for the same files, untouched, on this machine."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Under which the layer is kept."""
        return (self.listing,) if self.stamp is None else (self.listing, self.stamp)


def describe_tree(
    tree: Tree, path: PurePosixPath, owner: Owner, fill: Callable[[TarWriter], None], *, comes_back: bool
) -> Recognizable:
    """Return what a tree is known by that lies at `path` in the image, `fill` being its archive.

    A tree that `comes_back` with each build has a stamp. Raises `ConfigurationError` where a file cannot be read.
    """
    place = f"{path}\0{owner.user_id}:{owner.group_id}\0".encode()
    return Recognizable(
        fill=fill,
        listing=_hash(place, (_listed(entry) for entry in tree.entries)),
        stamp=_hash(place, (_stamped(tree, entry) for entry in tree.entries)) if comes_back else None,
    )


def find_made(trees: Mapping[str, Recognizable], find: Callable[[str], Layer | None]) -> Mapping[str, Layer]:
    """Return those layers that were made of the same trees before, by the names of the trees; `find` gives the one that a key stands for.

    The listing only says where to look: the archive is hashed then, which takes a fourth of the time that compressing takes.
    Raises what a `fill` raises.
    """
    found: dict[str, Layer] = {}
    candidates: dict[str, Layer] = {}
    for name, tree in trees.items():
        if tree.stamp is not None and (known := find(tree.stamp)) is not None:
            found[name] = known
        elif (candidate := find(tree.listing)) is not None:
            candidates[name] = candidate
    diff_ids = hash_layers(trees[name].fill for name in candidates)
    for (name, candidate), diff_id in zip(candidates.items(), diff_ids, strict=True):
        if candidate.diff_id == diff_id:
            found[name] = candidate
    return found


def _hash(place: bytes, lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256(place)
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _listed(entry: Entry) -> bytes:
    # How large a directory is, is up to the file system.
    return b"%b\0%o %o %d\0" % (entry.path, entry.kind, entry.mode, 0 if entry.is_directory else entry.size)


def _stamped(tree: Tree, entry: Entry) -> bytes:
    if entry.is_directory:
        # Its times and inode change when it is moved into the cache and out of it.
        return _listed(entry)
    if entry.path.startswith(_ENVIRONMENT) and entry.size <= _READ_UP_TO and entry.kind == stat.S_IFREG:
        content = read_regular_file(tree.root / os.fsdecode(entry.path), follow_links=False)
        return _listed(entry) + hashlib.sha256(content).digest()
    return _listed(entry) + b"%d %d %d %d" % entry.stamp
