"""`<layer>.toml` and the directory beside it (buildpack.md, "Layer Types" and "Layer Content Metadata (TOML)")."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.toml import read_table, write_toml

# buildpack.md, "Layers": these file names mean something else
_RESERVED_NAMES = frozenset({"build", "launch", "store"})
_LAYER_NAME = re.compile(r"[^/\0\n]+")
_TYPE_KEYS = ("launch", "build", "cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTypes:
    """What a layer is for: the app image, later buildpacks, the next build. With none of them it is ignored."""

    launch: bool = False
    build: bool = False
    cache: bool = False

    def __bool__(self) -> bool:
        return self.launch or self.build or self.cache


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """The contents of `<layer>.toml`. A restored one has metadata and no types.

    Two things are pybuild's own, and other lifecycles ignore the table that says them: `outlives_failure`, a cache layer that may be
    kept although its buildpack failed, and `by_packages`, a layer of packages, which may be divided (`lifecycle.cnb.parts`).
    """

    types: LayerTypes = field(default_factory=LayerTypes)
    metadata: Mapping[str, object] = field(default_factory=dict)
    outlives_failure: bool = False
    by_packages: bool = False

    @property
    def exec_env(self) -> tuple[str, ...]:
        """The execution environments that the layer is for, all where there are none. Since Buildpack API 0.12."""
        named = self.metadata.get("exec-env")
        return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDirectory:
    """A layer below `<layers>/<buildpack>`: its file, and the directory that may be there."""

    name: str
    file: LayerFile
    path: Path
    is_present: bool


def read_layer_file(path: Path) -> LayerFile:
    """Return `<layer>.toml`. Raises `ConfigurationError`; links are not followed, because buildpacks are not trusted."""
    document = read_table(path, follow_links=False)
    for key in _TYPE_KEYS:
        if key in document:
            # The form before Buildpack API 0.6: silently ignoring it would lose the layer.
            raise document.error(f"must stand below `[types]`: write `types.{key}`", key=key)
    types, own = document.table("types"), document.table("pybuild")
    return LayerFile(
        types=LayerTypes(
            launch=types.boolean("launch", default=False),
            build=types.boolean("build", default=False),
            cache=types.boolean("cache", default=False),
        ),
        metadata=document.table("metadata").values,
        outlives_failure=own.boolean("outlives-failure", default=False),
        by_packages=own.boolean("by-packages", default=False),
    )


def write_layer_file(path: Path, file: LayerFile) -> None:
    """Write `<layer>.toml`; types that are all false are left out, as in a restored layer."""
    types = {"launch": file.types.launch, "build": file.types.build, "cache": file.types.cache}
    own = {"outlives-failure": file.outlives_failure or None, "by-packages": file.by_packages or None}
    values = {
        "types": types if file.types else None,
        "metadata": file.metadata or None,
        "pybuild": own if any(own.values()) else None,
    }
    write_toml(path, values)


def read_layers(buildpack_layers: Path) -> tuple[LayerDirectory, ...]:
    """Return every layer that has a file in `<layers>/<buildpack>`, sorted by the bytes of its name.

    Empty when there is no such directory, or a link in its place. Raises `ConfigurationError`.
    """
    if not is_real_directory(buildpack_layers):
        return ()
    names = sorted(
        (path.name.removesuffix(".toml") for path in buildpack_layers.iterdir() if path.name.endswith(".toml")),
        key=lambda name: name.encode("utf-8", "surrogateescape"),
    )
    return tuple(
        LayerDirectory(
            name=name,
            file=read_layer_file(buildpack_layers / f"{name}.toml"),
            path=buildpack_layers / name,
            is_present=is_real_directory(buildpack_layers / name),
        )
        for name in names
        if is_layer_name(name)
    )


def is_layer_name(name: str) -> bool:
    """Return whether a layer can be called that: one path component, not reserved, not hidden."""
    return _LAYER_NAME.fullmatch(name) is not None and name not in _RESERVED_NAMES and not name.startswith(".")


def is_real_directory(path: Path) -> bool:
    """Return whether `path` is a directory and not a link to one: what a sandbox wrote may point anywhere on the host."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def is_real_subdirectory(root: Path, *names: str) -> bool:
    """Return whether `root/name/…` is a directory that is reached through no link below `root`."""
    return all(is_real_directory(root.joinpath(*names[: count + 1])) for count in range(len(names)))


def remove_tree(path: Path) -> None:
    """Remove whatever is at `path`, also directories that their owner may not write. Absent is fine. Raises `OSError`."""
    if not is_real_directory(path):
        path.unlink(missing_ok=True)
        return
    _make_writable(path)
    for directory, names, _ in os.walk(path):
        for name in names:
            _make_writable(Path(directory, name))
    shutil.rmtree(path)


def _make_writable(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        path.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
