"""The cache of one application: the layers that outlive a build, as directory trees beside a file that describes them.

    metadata.json    what is cached (platform.md, "Cache"), each layer with the name and the fingerprint of its tree
    trees/<name>/    the layers themselves

A tree is moved into the layers directory by the restore phase and moved back after the export: renames, whatever its size, so
both must be on one file system. Where another process builds, which may not come to its end, trees are copied.
`metadata.json` is replaced last, and trees are never named twice: whenever a build is killed, the next one finds layers that are
whole, or fewer of them. A tree that something else has changed is not used.
"""

from __future__ import annotations

import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cache_contents import CacheContents, CachedLayer, KeptTree, TreeFacts, parse_contents, render_contents
from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.buildpack import BuildpackId
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.group import Group
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.labels import LayerRecord, LifecycleMetadata
from lifecycle.cnb.layer import (
    LayerDirectory,
    is_real_directory,
    is_real_subdirectory,
    read_layers,
    remove_tree,
)
from lifecycle.cnb.toml import read_regular_file, write_atomically
from lifecycle.fingerprint import fingerprint_tree
from lifecycle.log import PhaseLog
from lifecycle.progress import Progress, read_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLayer:
    """A layer that comes into the cache from somewhere else, with the directory that becomes its tree."""

    buildpack: BuildpackId
    version: str
    name: str
    record: LayerRecord
    path: Path
    archived: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What of a cache can be used; `problems` say what cannot, and why: a cache is never an error."""

    contents: CacheContents = field(default_factory=CacheContents)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The directory of an application's cache; it need not exist. One process at a time may use it.

    `target` is what the build is for, such as `linux/amd64 (debian 12)`. What was made for another one is not used: packages may have
    been built against the libraries of its build image, which a later edition of the same distribution has as well.
    """

    directory: Path
    target: str
    copies: bool = False
    """Whether trees are copied, so that they are here and in the layers directory, which may be on another file system."""

    def look(self) -> Looked:
        """Return the layers that can be used, after every file of them was looked at; nothing is changed."""
        try:
            contents = self._read_metadata()
        except (ConfigurationError, UnicodeDecodeError) as err:
            return Looked(problems=(f"The cache is not used: {err}",))
        usable, problems = [], []
        for layer in contents.layers:
            problem = self._problem_of(layer.tree)
            if problem is None:
                usable.append(layer)
            else:
                problems.append(f"Cached layer `{layer.buildpack}:{layer.name}` is not used: {problem}")
        has_sbom = contents.sbom is not None and self._problem_of(contents.sbom) is None
        sbom = contents.sbom if has_sbom else None
        return Looked(contents=replace(contents, layers=tuple(usable), sbom=sbom), problems=tuple(problems))

    def recall(self) -> CacheContents:
        """Return what metadata.json says, also of layers that are lent to a build; nothing where it cannot be used."""
        try:
            return self._read_metadata()
        except (ConfigurationError, UnicodeDecodeError):
            return CacheContents()

    @property
    def is_new(self) -> bool:
        """Whether no build has left anything here."""
        return not (self.directory / "metadata.json").exists()

    @property
    def is_whole(self) -> bool:
        """Whether the metadata can be used and every tree is there; nobody looks what is in them."""
        try:
            contents = self._read_metadata()
        except (ConfigurationError, UnicodeDecodeError):
            return False
        return not self.is_new and all(is_real_directory(self.tree_path(layer.tree)) for layer in contents.layers)

    @property
    def saved_at(self) -> float:
        """When anything was last put here, in seconds since 1970; 0 for never."""
        try:
            return (self.directory / "metadata.json").stat().st_mtime
        except OSError:
            return 0.0

    def tree_path(self, tree: KeptTree) -> Path:
        """Return where a tree lies when it is not lent to a build."""
        return self.directory / "trees" / tree.name

    def lend(self, tree: KeptTree, destination: Path) -> None:
        """Put a tree where a build has it. Raises `OSError`."""
        _bring_tree(self.tree_path(tree), destination, copies=self.copies)

    def save(
        self,
        *,
        layers_dir: Path,
        group: Group,
        image: LifecycleMetadata,
        log: PhaseLog,
        exec_env: str = DEFAULT_EXEC_ENV,
        known: Mapping[Path, TreeFacts] | None = None,
        cache_image: str | None = None,
    ) -> None:
        """Take every cache layer of a build that succeeded from `layers_dir`; `image` is the label of its image.

        `known` is what was found out since of trees in `layers_dir`, `cache_image` the digest of the image that was made of them.
        A cache that cannot be written is a warning.
        """
        kept: list[CachedLayer] = []
        known = known or {}
        before = self.recall()
        try:
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
            self._commit(
                CacheContents(
                    layers=tuple(kept),
                    sbom=sbom,
                    exec_env=exec_env,
                    image=cache_image or before.image,
                    target=self.target,
                )
            )
        except OSError as err:
            log.warning(f"The cache could not be saved, the next build starts without it: {err}")

    def take(
        self, layers: Iterable[FoundLayer], *, sbom: tuple[Path, str] | None, exec_env: str, cache_image: str
    ) -> None:
        """Let `layers` take the place of everything that is here; their directories are moved. Raises `OSError`.

        `sbom` is a directory, and the diff id that it has as the layer of a cache image.
        """
        (self.directory / "trees").mkdir(parents=True, exist_ok=True)
        kept = []
        for layer in layers:
            facts = TreeFacts(fingerprint=fingerprint_tree(layer.path), archived=layer.archived)
            tree = self._move_in(layer.path, facts)
            kept.append(
                CachedLayer(
                    buildpack=layer.buildpack, version=layer.version, name=layer.name, record=layer.record, tree=tree
                )
            )
        kept_sbom = None
        if sbom is not None:
            path, archived = sbom
            kept_sbom = self._move_in(path, TreeFacts(fingerprint=fingerprint_tree(path), archived=(archived,)))
        self._commit(
            CacheContents(layers=tuple(kept), sbom=kept_sbom, exec_env=exec_env, image=cache_image, target=self.target)
        )

    def take_back(self, *, layers_dir: Path, log: PhaseLog) -> None:
        """Move back what a build that failed leaves usable, so that its mistake is not paid for twice.

        What was not lent, or lent to a buildpack that did not run, is as it was. Of buildpacks that finished, cache layers are
        kept as they declared them; layers that are in the image as well only when they say that nothing about them changed.
        Of the one that failed, only what it declared to outlive a failure. Everything else is dropped.
        """
        before = self.recall()
        try:
            progress = read_progress(layers_dir)
            (self.directory / "trees").mkdir(parents=True, exist_ok=True)
            kept = {(layer.buildpack, layer.name): layer for layer in self._untouched(before, progress, layers_dir)}
            for buildpack, version in progress.started.items():
                for layer in read_cache_layers(layers_dir / buildpack.directory_name, log):
                    if layer.file.outlives_failure or buildpack != progress.running:
                        declared = self._take_back_declared(buildpack, version, layer, before)
                        kept |= {(buildpack, layer.name): declared} if declared else {}
            self._commit(replace(before, layers=tuple(kept.values()), target=self.target))
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
        _bring_tree(path, self.tree_path(tree), copies=self.copies)
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

    def _read_metadata(self) -> CacheContents:
        path = self.directory / "metadata.json"
        if not path.exists():
            return CacheContents()
        document = parse_json(read_regular_file(path, follow_links=False).decode(), source=str(path))
        contents = parse_contents(document)
        if contents.target != self.target:
            raise document.error(f"is `{contents.target}`, and this build is for `{self.target}`", key="target")
        return contents

    def _commit(self, contents: CacheContents) -> None:
        write_atomically(self.directory / "metadata.json", render_contents(contents).encode())
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


def _bring_tree(source: Path, destination: Path, *, copies: bool) -> None:
    if not copies:
        move_tree(source, destination)
        return
    try:
        # Modes and times as well: they are a part of the fingerprint.
        shutil.copytree(source, destination, symlinks=True)
    except OSError:
        remove_tree(destination)
        raise


def describe_cache_layers(
    layers_dir: Path, group: Group, before: CacheContents, log: PhaseLog
) -> Mapping[Path, TreeFacts]:
    """Return what is known of the trees that a build leaves to be cached, for `Cache.save`. Raises `OSError`."""
    known = {
        layer.path: describe_tree(layer.path, before.facts(element.id, layer.name))
        for element in group.elements
        for layer in read_cache_layers(layers_dir / element.id.directory_name, log)
    }
    if has_cache_sbom(layers_dir):
        path = cache_sbom_path(layers_dir)
        known[path] = describe_tree(path, before.sbom_facts)
    return known


def read_cache_layers(own_layers: Path, log: PhaseLog) -> tuple[LayerDirectory, ...]:
    """Return the layers in `<layers>/<buildpack>` that are to be cached and have a directory."""
    try:
        layers = read_layers(own_layers)
    except ConfigurationError as err:
        log.info(f"Nothing of {own_layers.name} is cached: {err.summary}")
        return ()
    return tuple(layer for layer in layers if layer.file.types.cache and layer.is_present)
