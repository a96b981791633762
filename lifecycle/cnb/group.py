"""group.toml: the buildpacks that detection chose, in the order in which they build (platform.md, "group.toml (TOML)")."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.toml import Table, read_table, write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupElement:
    """A buildpack that takes part in the build."""

    id: BuildpackId
    version: str
    api: ApiVersion
    homepage: str | None = None

    def __str__(self) -> str:
        return f"{self.id}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The chosen buildpacks; no id occurs twice."""

    elements: tuple[GroupElement, ...]


def read_group(path: Path) -> Group:
    """Return group.toml. Raises `ConfigurationError`."""
    return Group(elements=parse_elements(read_table(path).tables("group")))


def write_group(path: Path, group: Group) -> None:
    """Write group.toml."""
    write_toml(path, {"group": render_elements(group.elements)})


def parse_elements(tables: tuple[Table, ...]) -> tuple[GroupElement, ...]:
    """Return buildpacks as group.toml and metadata.toml list them."""
    return tuple(
        GroupElement(
            id=table.parsed("id", BuildpackId.parse),
            version=table.parsed("version", parse_version),
            api=table.parsed("api", ApiVersion.parse),
            homepage=table.optional_string("homepage"),
        )
        for table in tables
    )


def render_elements(elements: tuple[GroupElement, ...]) -> list[dict[str, object]]:
    """Return what `parse_elements` reads; also the form of the build label."""
    return [
        {"id": element.id, "version": element.version, "api": str(element.api), "homepage": element.homepage}
        for element in elements
    ]
