"""The cache of one application: the layers that outlive a build, as directory trees beside a file that describes them.

    metadata.json    what is cached (platform.md, "Cache"), each layer with the name and the fingerprint of its tree
    trees/<name>/    the layers themselves

A tree is moved into the layers directory by the restore phase and moved back after the export: renames, whatever its size, so
both must be on one file system. `metadata.json` is replaced last, and trees are never named twice: whenever a build is
killed, the next one finds layers that are whole, or fewer of them. A tree that something else has changed is not used.
"""

from __future__ import annotations

import re
import stat
import uuid
from collections.abc import Iterator, Mapping
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
from lifecycle.fingerprint import fingerprint_tree
from lifecycle.log import PhaseLog
from lifecycle.progress import Progress, read_progress

SCHEMA = 2
_TREE_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFacts:
    """What is known of a tree. `archived` is the diff id of the layer that it is in a cache image, if it was made one."""

    fingerprint: str
    archived: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTree:
    """A tree in the cache, and what was known of it when it came there."""

    name: str
    facts: TreeFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedLayer:
    """A layer in the cache. `record.sha` is the diff id it had in the last image, `None` when it is in no image."""

    buildpack: BuildpackId
    version: str
    name: str
    record: LayerRecord
    tree: KeptTree


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheContents:
    """What metadata.json says. `sbom` is the tree with the bills of materials of cached layers."""

    layers: tuple[CachedLayer, ...] = ()
    sbom: KeptTree | None = None
    exec_env: str = DEFAULT_EXEC_ENV

    def layer(self, buildpack: BuildpackId, name: str) -> CachedLayer | None:
        """Return one layer, whatever the version of its buildpack."""
        return next((layer for layer in self.layers if layer.buildpack == buildpack and layer.name == name), None)

    def facts(self, buildpack: BuildpackId, name: str) -> TreeFacts | None:
        """Return what is known of the tree of one layer."""
        layer = self.layer(buildpack, name)
        return None if layer is None else layer.tree.facts

    @property
    def sbom_facts(self) -> TreeFacts | None:
        """What is known of the tree with the bills of materials."""
        return None if self.sbom is None else self.sbom.facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The directory of an application's cache; it need not exist. One process at a time may use it."""

    directory: Path

    def read(self, log: PhaseLog) -> CacheContents:
        """Return the layers whose trees are there. What cannot be used is said and left out: a cache is never an error."""
        contents = self._read_metadata(log)
        usable = []
        for layer in contents.layers:
            problem = self._problem_of(layer.tree)
            if problem is None:
                usable.append(layer)
            else:
                log.info(f"Cached layer `{layer.buildpack}:{layer.name}` is not used: {problem}")
        has_sbom = contents.sbom is not None and self._problem_of(contents.sbom) is None
        return replace(contents, layers=tuple(usable), sbom=contents.sbom if has_sbom else None)

    @property
    def is_new(self) -> bool:
        """Whether no build has left anything here."""
        return not (self.directory / "metadata.json").exists()

    def tree_path(self, tree: KeptTree) -> Path:
        """Return where a tree lies when it is not lent to a build."""
        return self.directory / "trees" / tree.name

    def save(
        self,
        *,
        layers_dir: Path,
        group: Group,
        image: LifecycleMetadata,
        log: PhaseLog,
        exec_env: str = DEFAULT_EXEC_ENV,
        known: Mapping[Path, TreeFacts] | None = None,
    ) -> None:
        """Move every cache layer of a build that succeeded out of `layers_dir`; `image` is the label of its image.

        `known` is what was found out since of trees in `layers_dir`. A cache that cannot be written is a warning.
        """
        kept: list[CachedLayer] = []
        known = known or {}
        try:
            before = self._read_metadata(log)
            (self.directory / "trees").mkdir(parents=True, exist_ok=True)
            for element in group.elements:
                for layer in read_cache_layers(layers_dir / element.id.directory_name, log):
                    facts = known.get(layer.path) or describe_tree(layer.path, before.facts(element.id, layer.name))
                    exported = image.layer(element.id, layer.name) if layer.file.types.launch else None
                    record = LayerRecord(
                        sha=None if exported is None else exported.sha,
                        types=layer.file.types,
                        metadata=layer.file.metadata,
                    )
                    kept.append(self._keep(element.id, element.version, layer, record, facts))
            sbom = None
            if has_cache_sbom(layers_dir):
                path = cache_sbom_path(layers_dir)
                sbom = self._move_in(path, known.get(path) or describe_tree(path, before.sbom_facts))
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
                for layer in read_cache_layers(layers_dir / buildpack.directory_name, log):
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
        facts = describe_tree(layer.path, before.facts(buildpack, layer.name))
        return self._keep(buildpack, version, layer, record, facts)

    def _keep(
        self, buildpack: BuildpackId, version: str, layer: LayerDirectory, record: LayerRecord, facts: TreeFacts
    ) -> CachedLayer:
        tree = self._move_in(layer.path, facts)
        return CachedLayer(buildpack=buildpack, version=version, name=layer.name, record=record, tree=tree)

    def _move_in(self, path: Path, facts: TreeFacts) -> KeptTree:
        tree = KeptTree(name=uuid.uuid4().hex, facts=facts)
        move_tree(path, self.tree_path(tree))
        return tree

    def _problem_of(self, tree: KeptTree) -> str | None:
        """Why a tree cannot be used."""
        path = self.tree_path(tree)
        if not is_real_directory(path):
            return "its files are gone"
        try:
            is_same = fingerprint_tree(path) == tree.facts.fingerprint
        except OSError as err:
            return f"its files cannot be read: {err.strerror}"
        return None if is_same else "its files were changed since"

    def _read_metadata(self, log: PhaseLog) -> CacheContents:
        path = self.directory / "metadata.json"
        if not path.exists():
            return CacheContents()
        try:
            document = parse_json(read_regular_file(path, follow_links=False).decode(), source=str(path))
            if document.optional_integer("schema") != SCHEMA:
                raise document.error("is of another version of pybuild", key="schema")
            return _parse_contents(document)
        except (ConfigurationError, UnicodeDecodeError) as err:
            log.info(f"The cache is not used: {err}")
            return CacheContents()

    def _commit(self, contents: CacheContents) -> None:
        write_atomically(self.directory / "metadata.json", _render_contents(contents).encode())
        trees = {layer.tree.name for layer in contents.layers} | ({contents.sbom.name} if contents.sbom else set())
        for path in (self.directory / "trees").iterdir():
            if path.name not in trees:
                remove_tree(path)


def describe_tree(directory: Path, before: TreeFacts | None) -> TreeFacts:
    """Return what is known of a tree now; `before`: what was when it last was in the cache. Raises `OSError`."""
    fingerprint = fingerprint_tree(directory)
    if before is not None and before.fingerprint == fingerprint:
        return before
    return TreeFacts(fingerprint=fingerprint)


def cache_sbom_path(layers_dir: Path) -> Path:
    """Return where a build leaves the bills of materials of layers that are cached."""
    return layers_dir / "sbom" / "cache"


def has_cache_sbom(layers_dir: Path) -> bool:
    """Return whether it has left any."""
    return is_real_subdirectory(layers_dir, "sbom", "cache")


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


def read_cache_layers(own_layers: Path, log: PhaseLog) -> tuple[LayerDirectory, ...]:
    """Return the layers in `<layers>/<buildpack>` that are to be cached and have a directory."""
    try:
        layers = read_layers(own_layers)
    except ConfigurationError as err:
        log.info(f"Nothing of {own_layers.name} is cached: {err.summary}")
        return ()
    return tuple(layer for layer in layers if layer.file.types.cache and layer.is_present)


def _render_contents(contents: CacheContents) -> str:
    trees: dict[str, dict[str, object]] = {}
    for layer in contents.layers:
        trees.setdefault(layer.buildpack, {})[layer.name] = _render_tree(layer.tree)
    return render_json(
        {
            "schema": SCHEMA,
            "buildpacks": render_buildpack_records(_records_of(contents), data_key="data"),
            "trees": trees,
            "sbom": None if contents.sbom is None else _render_tree(contents.sbom),
            "exec-env": contents.exec_env,
        }
    )


def _records_of(contents: CacheContents) -> tuple[BuildpackRecord, ...]:
    records: dict[BuildpackId, BuildpackRecord] = {}
    for layer in contents.layers:
        known = records.get(layer.buildpack) or BuildpackRecord(id=layer.buildpack, version=layer.version)
        records[layer.buildpack] = replace(known, layers={**known.layers, layer.name: layer.record})
    return tuple(records.values())


def _render_tree(tree: KeptTree) -> dict[str, object]:
    return {"tree": tree.name, "fingerprint": tree.facts.fingerprint, "archived": tree.facts.archived}


def _parse_contents(document: Table) -> CacheContents:
    trees = document.table("trees")
    layers = tuple(
        CachedLayer(
            buildpack=buildpack.id,
            version=buildpack.version,
            name=name,
            record=record,
            tree=_parse_tree(trees.table(buildpack.id).table(name)),
        )
        for buildpack in parse_buildpack_records(document, data_key="data")
        for name, record in buildpack.layers.items()
        if is_layer_name(name)
    )
    return CacheContents(
        layers=layers,
        sbom=_parse_tree(document.table("sbom")) if "sbom" in document else None,
        exec_env=document.optional_string("exec-env") or DEFAULT_EXEC_ENV,
    )


def _parse_tree(table: Table) -> KeptTree:
    facts = TreeFacts(fingerprint=table.string("fingerprint"), archived=table.optional_string("archived"))
    return KeptTree(name=table.parsed("tree", _parse_tree_name), facts=facts)


def _parse_tree_name(text: str) -> str:
    if _TREE_NAME.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not the name of a tree")
    return text
