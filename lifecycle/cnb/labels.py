"""The labels by which an image tells what it is made of (platform.md, "Labels"), apart from the one in `metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.layer import LayerTypes
from lifecycle.cnb.toml import Table

LIFECYCLE_LABEL = "io.buildpacks.lifecycle.metadata"
BUILD_LABEL = "io.buildpacks.build.metadata"
PROJECT_LABEL = "io.buildpacks.project.metadata"
EXEC_ENV_LABEL = "io.buildpacks.exec-env"
REBASABLE_LABEL = "io.buildpacks.rebasable"
DISTRO_NAME_LABEL = "io.buildpacks.base.distro.name"
DISTRO_VERSION_LABEL = "io.buildpacks.base.distro.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """A layer of an image or a cache. `sha` is the diff id (`sha256:…` of the uncompressed tar); `None`: never archived."""

    sha: str | None
    types: LayerTypes
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildpackRecord:
    """What an image keeps of a buildpack: its launch layers by name, and its store."""

    id: BuildpackId
    version: str
    layers: Mapping[str, LayerRecord] = field(default_factory=dict)
    store: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImageRecord:
    """The base of an image. `top_layer` is the diff id of its last layer."""

    top_layer: str | None = None
    reference: str | None = None
    image: str | None = None
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleMetadata:
    """The label `io.buildpacks.lifecycle.metadata`. Layers are named by diff id; `app` has one for each slice, in order."""

    app: tuple[str, ...] = ()
    sbom: str | None = None
    config: str | None = None
    launcher: str | None = None
    process_types: str | None = None
    buildpacks: tuple[BuildpackRecord, ...] = ()
    run_image: RunImageRecord = field(default_factory=RunImageRecord)
    exec_env: str = DEFAULT_EXEC_ENV

    def buildpack(self, buildpack: BuildpackId) -> BuildpackRecord | None:
        """Return what is recorded of a buildpack, whatever its version."""
        return next((record for record in self.buildpacks if record.id == buildpack), None)

    def layer(self, buildpack: BuildpackId, name: str) -> LayerRecord | None:
        """Return what is recorded of one layer."""
        record = self.buildpack(buildpack)
        return None if record is None else record.layers.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectMetadata:
    """project-metadata.toml and the label `io.buildpacks.project.metadata`: where the application came from."""

    source_type: str | None = None
    source_version: Mapping[str, object] = field(default_factory=dict)
    source_metadata: Mapping[str, object] = field(default_factory=dict)

    def render(self) -> str:
        """Return the label's JSON; `{}` when nothing is known."""
        source = {
            "type": self.source_type,
            "version": self.source_version or None,
            "metadata": self.source_metadata or None,
        }
        return render_json({"source": source if any(source.values()) else None})


def render_lifecycle_metadata(metadata: LifecycleMetadata) -> str:
    """Return the label's JSON."""
    run_image = metadata.run_image
    names = {"image": run_image.image, "mirrors": run_image.mirrors or None}
    return render_json(
        {
            "app": [{"sha": sha} for sha in metadata.app],
            "sbom": _render_sha(metadata.sbom),
            "config": _render_sha(metadata.config),
            "launcher": _render_sha(metadata.launcher),
            "process-types": _render_sha(metadata.process_types),
            "buildpacks": render_buildpack_records(metadata.buildpacks, data_key="data"),
            "runImage": {"topLayer": run_image.top_layer, "reference": run_image.reference, **names},
            # Deprecated since Platform API 0.12, still what older rebasers read.
            "stack": {"runImage": names} if run_image.image else None,
            "exec-env": metadata.exec_env,
        }
    )


def parse_lifecycle_metadata(label: str) -> LifecycleMetadata:
    """Return the label's value. Raises `ConfigurationError`."""
    document = parse_json(label, source=f"label {LIFECYCLE_LABEL}")
    run_image = document.table("runImage")
    legacy = document.table("stack").table("runImage")
    return LifecycleMetadata(
        app=tuple(part.string("sha") for part in document.tables("app")),
        sbom=_parse_sha(document, "sbom"),
        config=_parse_sha(document, "config"),
        launcher=_parse_sha(document, "launcher"),
        process_types=_parse_sha(document, "process-types"),
        buildpacks=parse_buildpack_records(document, data_key="data"),
        run_image=RunImageRecord(
            top_layer=run_image.optional_string("topLayer") or None,
            reference=run_image.optional_string("reference") or None,
            image=run_image.optional_string("image") or legacy.optional_string("image") or None,
            mirrors=run_image.strings("mirrors") or legacy.strings("mirrors"),
        ),
        exec_env=document.optional_string("exec-env") or DEFAULT_EXEC_ENV,
    )


def render_buildpack_records(records: tuple[BuildpackRecord, ...], *, data_key: str) -> list[dict[str, object]]:
    """Return `buildpacks` of the label (`data_key` "data") or of analyzed.toml ("metadata")."""
    return [
        {
            "key": record.id,
            "version": record.version,
            "layers": {name: _render_layer(layer, data_key) for name, layer in sorted(record.layers.items())},
            "store": None if record.store is None else {"metadata": record.store},
        }
        for record in records
    ]


def parse_buildpack_records(document: Table, *, data_key: str) -> tuple[BuildpackRecord, ...]:
    """Return what `render_buildpack_records` gives."""
    return tuple(_parse_buildpack(table, data_key) for table in document.tables("buildpacks"))


def _parse_buildpack(table: Table, data_key: str) -> BuildpackRecord:
    layers = table.table("layers")
    store = table.table("store")
    return BuildpackRecord(
        id=table.parsed("key", BuildpackId.parse),
        version=table.optional_string("version") or "",
        layers={name: _parse_layer(layers.table(name), data_key) for name in layers.values},
        store=store.table("metadata").values if "metadata" in store else None,
    )


def _parse_layer(table: Table, data_key: str) -> LayerRecord:
    return LayerRecord(
        sha=table.optional_string("sha") or None,
        types=LayerTypes(
            launch=table.boolean("launch", default=False),
            build=table.boolean("build", default=False),
            cache=table.boolean("cache", default=False),
        ),
        metadata=table.table(data_key).values,
    )


def _render_layer(layer: LayerRecord, data_key: str) -> dict[str, object]:
    return {
        "sha": layer.sha,
        data_key: layer.metadata or None,
        "launch": layer.types.launch,
        "build": layer.types.build,
        "cache": layer.types.cache,
    }


def _render_sha(sha: str | None) -> dict[str, object] | None:
    return None if sha is None else {"sha": sha}


def _parse_sha(document: Table, key: str) -> str | None:
    return document.table(key).optional_string("sha") or None
