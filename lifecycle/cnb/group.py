"""group.toml: the buildpacks and image extensions that detection chose, each in their order (platform.md, "group.toml (TOML)")."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.toml import Table, read_table, write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupElement:
    """A buildpack or an image extension that takes part in the build."""

    id: BuildpackId
    version: str
    api: ApiVersion
    homepage: str | None = None

    def __str__(self) -> str:
        return f"{self.id}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The chosen buildpacks, and the image extensions that come before them; no id occurs twice in either."""

    elements: tuple[GroupElement, ...]
    extensions: tuple[GroupElement, ...] = ()


def read_group(path: Path) -> Group:
    """Return group.toml. Raises `ConfigurationError`."""
    document = read_table(path)
    return Group(
        elements=parse_elements(document.tables("group")),
        extensions=parse_elements(document.tables("group-extensions")),
    )


def write_group(path: Path, group: Group) -> None:
    """Write group.toml."""
    extensions = render_elements(group.extensions) or None
    write_toml(path, {"group": render_elements(group.elements), "group-extensions": extensions})


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
