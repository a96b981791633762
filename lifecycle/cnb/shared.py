"""Layers that applications share: what a buildpack and the platform say of them to each other. An extension of pybuild's.

A layer is shared under a key of everything that decides its bytes. To take one is harmless: whoever names a key gets what was
made for it. To give one is not, because a build runs foreign code, which may change any layer and any file afterwards. So a
buildpack whose buildpack.toml lists `shared-layers` in its `[metadata]` says on its output, *before* anything foreign runs, either
the key of such a layer, if that decides everything that will run, or that it has none. The first such line counts. From then on
whoever changes the layer is a package that everyone who takes the layer has asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import read_regular_file

# A directory with a file for each layer that is shared, named by its key: a JSON object, in which `sbom` is the CycloneDX document
# of the layer. What else it says is the platform's.
DIRECTORY_VARIABLE = "PYBUILD_SHARED_LAYERS"
_LINE = re.compile(r"pybuild-layer-key: ([A-Za-z0-9_.-]+) ([0-9a-f]{64}|none)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedKey:
    """What a buildpack said of one of its layers before it made it."""

    layer: str
    key: str | None
    """`None`: it cannot be shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLayer:
    """What the platform says of a layer that it shares."""

    sbom: str | None
    """Its CycloneDX document; `None` where its buildpack wrote none."""


def read_shared(path: Path) -> KnownLayer | None:
    """Return what the file at `path` says, `None` where there is none that can be read."""
    try:
        text = read_regular_file(path).decode()
        return KnownLayer(sbom=parse_json(text, source=str(path)).optional_string("sbom"))
    except (ConfigurationError, UnicodeDecodeError):
        return None


def layer_key(path: PurePath, metadata: Mapping[str, object]) -> str:
    """Return the key, in hex, of the layer that lies at `path` in the image and has this metadata."""
    return hashlib.sha256(render_json({"path": str(path), "metadata": metadata}).encode()).hexdigest()


def shared_layers_of(buildpack: Descriptor) -> tuple[str, ...]:
    """Return the layers of which a buildpack always says whether they can be shared."""
    names = buildpack.metadata.get("shared-layers")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def render_key_line(named: NamedKey) -> str:
    """Return the line by which a buildpack says it."""
    return f"pybuild-layer-key: {named.layer} {named.key or 'none'}"


def parse_key_line(line: str) -> NamedKey | None:
    """Return what a line of output says; `None` for any other line."""
    found = _LINE.fullmatch(line.rstrip())
    return None if found is None else NamedKey(layer=found[1], key=None if found[2] == "none" else found[2])
