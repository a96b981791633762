"""Keeps what the tools cache from growing with every version that an application ever had."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from buildpacks.installer.commands import ToolRun
from buildpacks.installer.tools import Tools
from lifecycle.cnb.layer import remove_tree

# So much may be kept for the day that somebody goes back to another version.
_LEAST = 512 << 20
_UV = "uv"
# Below the cache layer; Poetry names its own.
_CACHES = (_UV, "pip", "pypoetry")


def limit_caches(run: ToolRun, tools: Tools, environment: Path, *, least: int = _LEAST) -> None:
    """Remove what is cached beside the new `environment`, where that is more than the environment itself has, and than `least` bytes.

    Of uv's cache go first what nothing in it leads to any more, and packages that it has in versions which the environment has not.
    """
    for name in _CACHES:
        cache = run.cache_dir / name
        spare = _spare_bytes(cache)
        # The environment is measured only where it may decide.
        if spare <= least or spare <= (limit := max(least, _bytes(environment))):
            continue
        if name == _UV and tools.uv is not None:
            run.uv(tools.uv, "cache", "prune", quiet=True, echo=False)
            # Where there is none to name, uv removes everything, as it would have to be then.
            if _spare_bytes(cache) > limit:
                run.uv(tools.uv, "cache", "clean", *_spare_packages(cache), quiet=True, echo=False)
        if name != _UV or _spare_bytes(cache) > limit:
            remove_tree(cache)
        freed = spare - _spare_bytes(cache)
        run.context.say(f"Removed {freed / 1e6:.0f} MB from the cache of {name}: more than the environment has")


def _spare_packages(cache: Path) -> tuple[str, ...]:
    metadata = (path for path in cache.glob("archive-v*/*/*.dist-info") if _spare_bytes(path / "METADATA"))
    return tuple(sorted({canonicalize_name(path.name.partition("-")[0]) for path in metadata}))


def _spare_bytes(root: Path) -> int:
    """Bytes of the files that the environment has not: it shares those that it has, as hard links."""
    return sum(found.st_size for found in _files(root) if found.st_nlink == 1)


def _bytes(root: Path) -> int:
    return sum(found.st_size for found in _files(root))


def _files(root: Path) -> Iterator[os.stat_result]:
    if root.is_file():
        yield root.lstat()
    for directory, _, names in os.walk(root):
        for name in names:
            found = Path(directory, name).lstat()
            if stat.S_ISREG(found.st_mode):
                yield found
