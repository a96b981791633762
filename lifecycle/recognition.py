"""Recognizes a tree that was made a layer before: then it need not be compressed again, or not even be read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lifecycle.cnb.toml import read_regular_file
from lifecycle.oci.archive import Owner, TarWriter
from lifecycle.oci.image import Layer
from lifecycle.oci.tree import Entry, Tree

# The kit writes these files anew in each build; they are small, so what they hold is looked at.
_ENVIRONMENT = (b"env/", b"env.build/", b"env.launch/")
_READ_UP_TO = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeKeys:
    """What a tree is known by, in hex. Both say where it lies in the image, and whose it is."""

    listing: str
    """Of names, kinds, modes and sizes: trees that are the same have the same, but not the other way round."""
    stamp: str
    """Of the inodes and times as well: the same only for the same files, untouched, on this machine."""


def describe_tree(tree: Tree, path: PurePosixPath, owner: Owner) -> TreeKeys:
    """Return the keys of a tree that lies at `path` in the image. Raises `ConfigurationError` where a file cannot be read."""
    place = f"{path}\0{owner.user_id}:{owner.group_id}\0".encode()
    return TreeKeys(
        listing=_hash(place, (_listed(entry) for entry in tree.entries)),
        stamp=_hash(place, (_stamped(tree, entry) for entry in tree.entries)),
    )


def find_made(keys: TreeKeys, find: Callable[[str], Layer | None], fill: Callable[[TarWriter], None]) -> Layer | None:
    """Return the layer that was made of the same tree before; `find` gives the one that a key stands for, `fill` writes the archive.

    The listing only says where to look: the archive is hashed then, which takes a fourth of the time that compressing takes.
    Raises what `fill` raises.
    """
    known = find(keys.stamp)
    if known is not None:
        return known
    candidate = find(keys.listing)
    if candidate is None:
        return None
    diff_hash = hashlib.sha256()
    writer = TarWriter(diff_hash.update)
    fill(writer)
    writer.finish()
    return candidate if diff_hash.hexdigest() == candidate.diff_id.hex else None


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
