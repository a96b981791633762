"""The cache of one application: the layers that outlive a build, as directory trees beside a file that describes them.

    metadata.json    what is cached (platform.md, "Cache"), each layer with the name of its tree
    trees/<name>/    the layers themselves

A tree is moved into the layers directory by the restore phase and moved back after the export: renames, whatever its size, so
both must be on one file system. `metadata.json` is replaced last, and trees are never named twice: whenever a build is
killed, the next one finds layers that are whole, or fewer of them.
"""

from __future__ import annotations

import re
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.buildpack import BuildpackId
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import Group
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.labels import (
    BuildpackRecord,
    LayerRecord,
    LifecycleMetadata,
    parse_buildpack_records,
    render_buildpack_records,
)
from lifecycle.cnb.layer import (
    LayerDirectory,
    is_layer_name,
    is_real_directory,
    is_real_subdirectory,
    read_layers,
    remove_tree,
)
from lifecycle.cnb.toml import Table, read_regular_file, write_atomically
from lifecycle.log import PhaseLog
from lifecycle.progress import Progress, read_progress

_SCHEMA = 1
_TREE_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedLayer:
    """A layer in the cache. `record.sha` is the diff id it had in the last image, `None` when it is in no image."""

    buildpack: BuildpackId
    version: str
    name: str
    record: LayerRecord
    tree: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheContents:
    """What metadata.json says. `sbom` names the tree with the bills of materials of cached layers."""

    layers: tuple[CachedLayer, ...] = ()
    sbom: str | None = None
    exec_env: str = DEFAULT_EXEC_ENV

    def layer(self, buildpack: BuildpackId, name: str) -> CachedLayer | None:
        """Return one layer, whatever the version of its buildpack."""
        return next((layer for layer in self.layers if layer.buildpack == buildpack and layer.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The directory of an application's cache; it need not exist. One process at a time may use it."""

    directory: Path

    def read(self, log: PhaseLog) -> CacheContents:
        """Return the layers whose trees are there. What cannot be used is said and left out: a cache is never an error."""
        contents = self._read_metadata(log)
        usable = []
        for layer in contents.layers:
            if is_real_directory(self.tree_path(layer.tree)):
                usable.append(layer)
            else:
                log.info(f"Cached layer `{layer.buildpack}:{layer.name}` is not used: its files are gone")
        sbom = contents.sbom if contents.sbom and is_real_directory(self.tree_path(contents.sbom)) else None
        return replace(contents, layers=tuple(usable), sbom=sbom)

    @property
    def is_new(self) -> bool:
        """Whether no build has left anything here."""
        return not (self.directory / "metadata.json").exists()

    def tree_path(self, tree: str) -> Path:
        """Return where a tree lies when it is not lent to a build."""
        return self.directory / "trees" / tree

    def save(
        self,
        *,
        layers_dir: Path,
        group: Group,
        image: LifecycleMetadata,
        log: PhaseLog,
        exec_env: str = DEFAULT_EXEC_ENV,
    ) -> None:
        """Move every cache layer of a build that succeeded out of `layers_dir`; `image` is the label of its image.

        A cache that cannot be written is a warning.
        """
        kept: list[CachedLayer] = []
        try:
            (self.directory / "trees").mkdir(parents=True, exist_ok=True)
            for element in group.elements:
                for layer in _read_cache_layers(layers_dir / element.id.directory_name, log):
                    known = image.layer(element.id, layer.name) if layer.file.types.launch else None
                    record = LayerRecord(
                        sha=None if known is None else known.sha,
                        types=layer.file.types,
                        metadata=layer.file.metadata,
                    )
                    kept.append(self._keep(element.id, element.version, layer, record))
            has_sbom = is_real_subdirectory(layers_dir, "sbom", "cache")
            sbom = self._move_in(layers_dir / "sbom" / "cache") if has_sbom else None
            self._commit(CacheContents(layers=tuple(kept), sbom=sbom, exec_env=exec_env))
        except OSError as err:
            log.warning(f"The cache could not be saved, the next build starts without it: {err}")

    def take_back(self, *, layers_dir: Path, log: PhaseLog) -> None:
        """Move back what a build that failed leaves usable, so that its mistake is not paid for twice.

        What was not lent, or lent to a buildpack that did not run, is as it was. Of buildpacks that finished, cache layers are
        kept as they declared them; layers that are in the image as well only when they say that nothing about them changed.
        Of the one that failed, only what it declared to outlive a failure. Everything else is dropped.
        """
        try:
            before = self._read_metadata(log)
            progress = read_progress(layers_dir)
            (self.directory / "trees").mkdir(parents=True, exist_ok=True)
            kept = {(layer.buildpack, layer.name): layer for layer in self._untouched(before, progress, layers_dir)}
            for buildpack, version in progress.started.items():
                for layer in _read_cache_layers(layers_dir / buildpack.directory_name, log):
                    if layer.file.outlives_failure or buildpack != progress.running:
                        declared = self._take_back_declared(buildpack, version, layer, before)
                        kept |= {(buildpack, layer.name): declared} if declared else {}
            self._commit(replace(before, layers=tuple(kept.values())))
        except (OSError, ConfigurationError) as err:
            log.warning(f"The cache could not be kept, the next build starts without it: {err}")

    def _untouched(self, before: CacheContents, progress: Progress, layers_dir: Path) -> Iterator[CachedLayer]:
        for layer in before.layers:
            way = (layer.buildpack.directory_name, layer.name)
            if is_real_directory(self.tree_path(layer.tree)):
                yield layer
            elif layer.buildpack not in progress.started and is_real_subdirectory(layers_dir, *way):
                move_tree(layers_dir.joinpath(*way), self.tree_path(layer.tree))
                yield layer

    def _take_back_declared(
        self, buildpack: BuildpackId, version: str, layer: LayerDirectory, before: CacheContents
    ) -> CachedLayer | None:
        record = LayerRecord(sha=None, types=layer.file.types, metadata=layer.file.metadata)
        if record.types.launch:
            known = before.layer(buildpack, layer.name)
            if known is None or replace(known.record, sha=None) != record:
                return None
            record = known.record
        return self._keep(buildpack, version, layer, record)

    def _keep(self, buildpack: BuildpackId, version: str, layer: LayerDirectory, record: LayerRecord) -> CachedLayer:
        tree = self._move_in(layer.path)
        return CachedLayer(buildpack=buildpack, version=version, name=layer.name, record=record, tree=tree)

    def _move_in(self, path: Path) -> str:
        tree = uuid.uuid4().hex
        move_tree(path, self.tree_path(tree))
        return tree

    def _read_metadata(self, log: PhaseLog) -> CacheContents:
        path = self.directory / "metadata.json"
        if not path.exists():
            return CacheContents()
        try:
            document = parse_json(read_regular_file(path, follow_links=False).decode(), source=str(path))
            if document.optional_integer("schema") != _SCHEMA:
                raise document.error("is of another version of pybuild", key="schema")
            return _parse_contents(document)
        except (ConfigurationError, UnicodeDecodeError) as err:
            log.info(f"The cache is not used: {err}")
            return CacheContents()

    def _commit(self, contents: CacheContents) -> None:
        write_atomically(self.directory / "metadata.json", _render_contents(contents).encode())
        trees = {layer.tree for layer in contents.layers} | {contents.sbom}
        for path in (self.directory / "trees").iterdir():
            if path.name not in trees:
                remove_tree(path)


def move_tree(source: Path, destination: Path) -> None:
    """Move a directory on its file system, also one that its owner may not write. Raises `OSError`."""
    # The kernel writes `..` into a directory that gets another parent, so its owner must be allowed to.
    mode = stat.S_IMODE(source.lstat().st_mode)
    if mode & stat.S_IWUSR:
        source.rename(destination)
    else:
        source.chmod(mode | stat.S_IWUSR)
        source.rename(destination)
        destination.chmod(mode)


def _read_cache_layers(own_layers: Path, log: PhaseLog) -> tuple[LayerDirectory, ...]:
    try:
        layers = read_layers(own_layers)
    except ConfigurationError as err:
        log.info(f"Nothing of {own_layers.name} is cached: {err.summary}")
        return ()
    return tuple(layer for layer in layers if layer.file.types.cache and layer.is_present)


def _render_contents(contents: CacheContents) -> str:
    records: dict[BuildpackId, BuildpackRecord] = {}
    trees: dict[str, dict[str, str]] = {}
    for layer in contents.layers:
        known = records.get(layer.buildpack) or BuildpackRecord(id=layer.buildpack, version=layer.version)
        records[layer.buildpack] = replace(known, layers={**known.layers, layer.name: layer.record})
        trees.setdefault(layer.buildpack, {})[layer.name] = layer.tree
    return render_json(
        {
            "schema": _SCHEMA,
            "buildpacks": render_buildpack_records(tuple(records.values()), data_key="data"),
            "trees": trees,
            "sbom": None if contents.sbom is None else {"tree": contents.sbom},
            "exec-env": contents.exec_env,
        }
    )


def _parse_contents(document: Table) -> CacheContents:
    trees = document.table("trees")
    layers = tuple(
        CachedLayer(
            buildpack=buildpack.id,
            version=buildpack.version,
            name=name,
            record=record,
            tree=trees.table(buildpack.id).parsed(name, _parse_tree_name),
        )
        for buildpack in parse_buildpack_records(document, data_key="data")
        for name, record in buildpack.layers.items()
        if is_layer_name(name)
    )
    sbom = document.table("sbom")
    return CacheContents(
        layers=layers,
        sbom=sbom.parsed("tree", _parse_tree_name) if "tree" in sbom else None,
        exec_env=document.optional_string("exec-env") or DEFAULT_EXEC_ENV,
    )


def _parse_tree_name(text: str) -> str:
    if _TREE_NAME.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not the name of a tree")
    return text
