"""Keeps the storage of an application bounded: images that its last builds did not use go, and caches that grow too large."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.layer import remove_tree
from lifecycle.cnb.toml import read_regular_file, write_atomically

# A change that is taken back finds its layers again if it is one of the last.
_BUILDS = 5
_CACHE_LIMIT = 4 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """In which of the builds, counted, images were used last."""

    builds: int = 0
    last_used: Mapping[str, int] = field(default_factory=dict)
    """By image id."""

    def after(self, used: Iterable[str]) -> Usage:
        """Return the usage after one more build."""
        builds = self.builds + 1
        return Usage(builds=builds, last_used={**self.last_used, **dict.fromkeys(used, builds)})

    def split(self, images: Iterable[str]) -> tuple[Usage, tuple[str, ...]]:
        """Return the usage of those of `images` that stay, and the others. An image that is not known yet counts as used."""
        last_used = {image: self.last_used.get(image, self.builds) for image in images}
        unused = tuple(image for image, build in last_used.items() if build <= self.builds - _BUILDS)
        kept = {image: build for image, build in last_used.items() if image not in unused}
        return Usage(builds=self.builds, last_used=kept), unused


def read_usage(path: Path) -> Usage:
    """Return what `path` says; nothing where it cannot be read."""
    try:
        document = parse_json(read_regular_file(path, follow_links=False).decode("utf-8", "replace"), source=path.name)
        table = document.table("last-used")
        return Usage(
            builds=document.optional_integer("builds") or 0,
            last_used={image: table.optional_integer(image) or 0 for image in table.values},
        )
    except ConfigurationError:
        return Usage()


def write_usage(path: Path, usage: Usage) -> None:
    """Write what `read_usage` reads."""
    write_atomically(path, render_json({"builds": usage.builds, "last-used": usage.last_used}).encode())


def complete_ids(shortened: Collection[str], images: Iterable[str]) -> tuple[str, ...]:
    """Return those of `images` that one of `shortened` is the beginning of."""
    beginnings = tuple(set(shortened))
    return tuple(image for image in images if beginnings and image.startswith(beginnings))


def bound_caches(directory: Path) -> bool:
    """Empty `directory`, where commands keep downloads for later builds, when it is too large; return whether it was."""
    size = 0
    for path in directory.rglob("*"):
        size += path.lstat().st_size
        if size > _CACHE_LIMIT:
            remove_tree(directory)
            return True
    return False
