"""`metadata.json` of a cache: which layers it has, and what is known of their trees."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.buildpack import BuildpackId
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.labels import BuildpackRecord, LayerRecord, parse_buildpack_records, render_buildpack_records
from lifecycle.cnb.layer import is_layer_name
from lifecycle.cnb.toml import Table

_SCHEMA = 2
_TREE_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFacts:
    """What is known of a tree. `archived` are the diff ids of the layers that it is in a cache image, if it was put into one."""

    fingerprint: str
    archived: tuple[str, ...] = ()


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
    image: str | None = None
    """Digest of the last cache image that was made of this cache, or that it was taken from."""
    target: str = ""
    """What the builds were for that made this."""

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


def render_contents(contents: CacheContents) -> str:
    """Return the document."""
    trees: dict[str, dict[str, object]] = {}
    for layer in contents.layers:
        trees.setdefault(layer.buildpack, {})[layer.name] = _render_tree(layer.tree)
    return render_json(
        {
            "schema": _SCHEMA,
            "buildpacks": render_buildpack_records(_records_of(contents), data_key="data"),
            "trees": trees,
            "sbom": None if contents.sbom is None else _render_tree(contents.sbom),
            "exec-env": contents.exec_env,
            "target": contents.target,
            "image": contents.image,
        }
    )


def _records_of(contents: CacheContents) -> tuple[BuildpackRecord, ...]:
    records: dict[BuildpackId, BuildpackRecord] = {}
    for layer in contents.layers:
        known = records.get(layer.buildpack) or BuildpackRecord(id=layer.buildpack, version=layer.version)
        records[layer.buildpack] = replace(known, layers={**known.layers, layer.name: layer.record})
    return tuple(records.values())


def _render_tree(tree: KeptTree) -> dict[str, object]:
    return {"tree": tree.name, "fingerprint": tree.facts.fingerprint, "archived": list(tree.facts.archived)}


def parse_contents(document: Table) -> CacheContents:
    """Return what `render_contents` was given. Raises `ConfigurationError`, also for what another version has written."""
    if document.optional_integer("schema") != _SCHEMA:
        raise document.error("is of another version of pybuild", key="schema")
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
        image=document.optional_string("image"),
        target=document.string("target"),
    )


def _parse_tree(table: Table) -> KeptTree:
    facts = TreeFacts(fingerprint=table.string("fingerprint"), archived=table.strings("archived"))
    return KeptTree(name=table.parsed("tree", _parse_tree_name), facts=facts)


def _parse_tree_name(text: str) -> str:
    if _TREE_NAME.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not the name of a tree")
    return text
