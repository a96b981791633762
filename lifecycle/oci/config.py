"""Image configuration (https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md).

What a base image says that pybuild does not know (`Healthcheck`, `OnBuild`, keys of other builders) is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.toml import Table
from lifecycle.oci.descriptor import parse_string_map
from lifecycle.oci.document import parse_document

_KNOWN = frozenset({"architecture", "os", "variant", "created", "author", "config", "rootfs", "history"})
_KNOWN_IN_CONFIG = frozenset({"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"})


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How a layer came about. `empty_layer`: an entry that only changed the config."""

    created: str | None = None
    created_by: str | None = None
    comment: str | None = None
    author: str | None = None
    empty_layer: bool = False

    def render(self) -> dict[str, object]:
        """Return JSON values; absent ones are left out."""
        values: dict[str, object] = {
            name: value
            for name, value in (
                ("created", self.created),
                ("created_by", self.created_by),
                ("comment", self.comment),
                ("author", self.author),
            )
            if value is not None
        }
        return {**values, "empty_layer": True} if self.empty_layer else values


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The config of an image. `env` holds `NAME=value` in the order of the image; `diff_ids` are base first."""

    architecture: str
    os: str
    variant: str | None = None
    created: str | None = None
    """RFC 3339."""
    author: str | None = None
    user: str | None = None
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()
    """Base first; as many entries that are not `empty_layer` as there are diff ids, or none at all."""
    other: Mapping[str, object] = field(default_factory=dict)
    """Keys of the document that are not known here."""
    other_in_config: Mapping[str, object] = field(default_factory=dict)
    """Keys of its `config` that are not known here."""

    def environment(self) -> Mapping[str, str]:
        """Return `env` by name; of a name that stands twice the last counts."""
        return {name: value for name, _, value in (entry.partition("=") for entry in self.env)}

    def render(self) -> bytes:
        """Return the document; the same values give the same bytes."""
        execution: dict[str, object] = {
            **self.other_in_config,
            "User": self.user,
            "Env": list(self.env) or None,
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.cmd) or None,
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels) or None,
            "ExposedPorts": {port: {} for port in self.exposed_ports} or None,
            "Volumes": {volume: {} for volume in self.volumes} or None,
        }
        document: dict[str, object] = {
            **self.other,
            "architecture": self.architecture,
            "os": self.os,
            "variant": self.variant,
            "created": self.created,
            "author": self.author,
            "config": execution,
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in self.diff_ids]},
            "history": [entry.render() for entry in self.history] or None,
        }
        return render_json(document).encode("utf-8", "surrogateescape")


def parse_config(content: bytes, *, source: str) -> ImageConfig:
    """Return the config that `content` is. Raises `ConfigurationError`, `InvalidValue`."""
    document = parse_document(content, source=source)
    execution = document.table("config")
    return ImageConfig(
        architecture=document.string("architecture"),
        os=document.string("os"),
        variant=document.optional_string("variant") or None,
        created=document.optional_string("created") or None,
        author=document.optional_string("author") or None,
        user=execution.optional_string("User") or None,
        env=execution.strings("Env"),
        entrypoint=execution.strings("Entrypoint"),
        cmd=execution.strings("Cmd"),
        working_dir=execution.optional_string("WorkingDir") or None,
        labels=parse_string_map(execution.table("Labels")),
        exposed_ports=tuple(execution.table("ExposedPorts").values),
        volumes=tuple(execution.table("Volumes").values),
        diff_ids=tuple(Digest.parse(text) for text in document.table("rootfs").strings("diff_ids")),
        history=tuple(_parse_history(entry) for entry in document.tables("history")),
        other={key: value for key, value in document.values.items() if key not in _KNOWN},
        other_in_config={key: value for key, value in execution.values.items() if key not in _KNOWN_IN_CONFIG},
    )


def _parse_history(table: Table) -> History:
    return History(
        created=table.optional_string("created"),
        created_by=table.optional_string("created_by"),
        comment=table.optional_string("comment"),
        author=table.optional_string("author"),
        empty_layer=table.boolean("empty_layer", default=False),
    )
