"""What builder.toml asks for, part by part, before anything of it is looked up or made."""

from __future__ import annotations

from dataclasses import dataclass, field

from lifecycle.cnb.identifier import BuildpackId


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBase:
    """A base that is assembled from Debian packages."""

    suite: str
    packages: tuple[str, ...]
    """Sorted, unique; what they depend on comes with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBase:
    """A base that is an image: `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE` or `docker://REFERENCE`, paths absolute."""

    location: str


Base = PackageBase | ImageBase


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedModule:
    """A buildpack or an image extension; id and version, where given, are what it must turn out to be."""

    source: str
    """What `pybuild.builder.buildpack_source` finds it by."""
    place: str = field(compare=False)
    """Where builder.toml has it: `buildpacks[2]`."""
    id: BuildpackId | None = None
    version: str | None = None
    is_extension: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedMember:
    """A member of an order; without a version it is the only one that the builder has."""

    id: BuildpackId
    place: str = field(compare=False)
    """Where builder.toml has it: `order[0].group[1]`."""
    version: str | None = None
    optional: bool = False
    exec_env: tuple[str, ...] = ()


RequestedGroups = tuple[tuple[RequestedMember, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildVariable:
    """A variable that every buildpack sees: a file of /cnb/build-config/env."""

    name: str
    value: str
    suffix: str = ""
    delimiter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who builds and images run as."""

    name: str = "pybuild"
    id: int = 1000
    group_id: int = 1000
