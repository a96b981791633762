"""Parts of a layer: one layer directory that is several layers in the image, along the packages in it. An extension of pybuild's.

An environment changes by a package and would travel whole. A buildpack says in `<layer>.toml` that a layer is made of packages
(`[pybuild] by-packages = true`); the exporter may then divide it. In the image's label each part is a layer of the same buildpack,
of the name `<layer>.package-<name>` or `<layer>.packages-<number>`, and the layer itself is what is left; its metadata list the
parts under `pybuild-parts`. So every lifecycle restores the parts beside the layer, and reuses those that the buildpack declares:
the kit declares all of them with a layer that it reuses, and takes a layer whose parts are not all there for lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# In the metadata of a layer that has parts: their names. Whoever does not know of it sees other metadata, and makes the layer anew.
PARTS_KEY = "pybuild-parts"


def package_part(layer: str, package: str) -> str:
    """Return the name of the part that is one package."""
    return f"{layer}.package-{package}"


def packages_part(layer: str, number: int) -> str:
    """Return the name of a part that is several packages; it sorts after those of one."""
    return f"{layer}.packages-{number:02}"


def parts_of(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the parts that a layer with this metadata has beside itself."""
    names = metadata.get(PARTS_KEY)
    return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else ()


def with_parts(metadata: Mapping[str, object], names: Sequence[str]) -> Mapping[str, object]:
    """Return the metadata of a layer that has these parts."""
    return {**metadata, PARTS_KEY: list(names)} if names else metadata


def without_parts(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """Return the metadata as the buildpack knows it."""
    return {key: value for key, value in metadata.items() if key != PARTS_KEY}
