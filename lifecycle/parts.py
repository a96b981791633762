"""Divides a launch layer along package boundaries, so that little of it travels when a package changes.

The division depends on the names and sizes of packages only, and each package is judged by itself as far as possible: from build to
build a part is another one when a package in it is. `docs/decisions/0012` says how it is told in the image.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lifecycle.cnb.parts import package_part, packages_part
from lifecycle.oci.tree import Entry, Tree
from lifecycle.packages import find_owners

# Bytes before compression; what is smaller travels in a moment.
_DIVIDED_FROM = 32 << 20
_PACKAGE_OF_ITS_OWN = 1 << 20
# Each layer costs an engine about 0.1 s and a registry two requests.
MAX_PARTS = 40
# Docker refuses 126.
MAX_LAYERS = 110
_MIN_PARTS = 4
_MAX_BINS = 16
_BIN_SIZE = 4 << 20
# What the layer does to the environment is read off the rest, whatever a package claims.
_ENVIRONMENT = frozenset({b"env", b"env.build", b"env.launch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """A layer in parts. `parts` are by the name of their layer, in the order of the image; `rest` is what belongs to no package."""

    parts: Mapping[str, Tree]
    rest: Tree


def divide_layer(name: str, tree: Tree, *, limit: int = MAX_PARTS) -> Division | None:
    """Return the layer `name` in at most `limit` parts, the rest among them; `None` where that is not worth it.

    Large packages get a part of their own, the others go into bins by their names. A part begins with the directories that it is in,
    so the union of all is the tree.
    """
    if limit < _MIN_PARTS or tree.size < _DIVIDED_FROM:
        return None
    owners = find_owners(tree)
    sizes = Counter[str]()
    for entry in tree.entries:
        if entry.path in owners:
            sizes[owners[entry.path]] += entry.size
    names = _name_parts(name, sizes, limit)

    def part_of(entry: Entry) -> str | None:
        owner = None if entry.path.partition(b"/")[0] in _ENVIRONMENT else owners.get(entry.path)
        return None if owner is None else names[owner]

    divided = tree.divide(part_of)
    parts = {part: divided[part] for part in sorted(key for key in divided if key is not None)}
    if not parts:
        return None
    return Division(parts=parts, rest=_with_top_directories(divided.get(None) or tree.top, tree))


def _name_parts(layer: str, sizes: Mapping[str, int], limit: int) -> Mapping[str, str]:
    """For each package the part that it goes into."""
    bins = min(_MAX_BINS, 1 << (limit * 2 // 5).bit_length() - 1)
    by_size = sorted(sizes, key=lambda package: (-sizes[package], package))
    alone = {package for package in by_size[: limit - bins - 1] if sizes[package] >= _PACKAGE_OF_ITS_OWN}
    together = sum(size for package, size in sizes.items() if package not in alone)
    # A power of two: the number, and so what is in a bin, stays the same over all but a few sizes of an environment.
    bins = min(bins, 1 << (together // _BIN_SIZE).bit_length())
    return {
        package: package_part(layer, package) if package in alone else packages_part(layer, _bin(package, bins))
        for package in sizes
    }


def _bin(package: str, bins: int) -> int:
    return hashlib.sha256(package.encode("utf-8", "surrogateescape")).digest()[0] % bins


def _with_top_directories(rest: Tree, tree: Tree) -> Tree:
    """The rest, with all directories at the top of the layer: they tell what it does to the environment of a process."""
    kept = {entry.path for entry in rest.entries}
    entries = [entry for entry in tree.entries if entry.path in kept or (entry.is_directory and b"/" not in entry.path)]
    return replace(tree, entries=tuple(entries))
