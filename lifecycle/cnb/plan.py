"""Build plans: what `bin/detect` writes, what detection resolves, and what `bin/build` gets (buildpack.md, "Build Plan")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.toml import Table, read_table, write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something a buildpack needs: from itself or from a buildpack before it."""

    name: str
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What one buildpack offers and needs. `alternatives` are tried in order when this plan fits no group; they have none."""

    provides: tuple[str, ...] = ()
    requires: tuple[Requirement, ...] = ()
    alternatives: tuple[BuildPlan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A buildpack or an image extension of the group that can provide an entry."""

    id: BuildpackId
    version: str
    is_extension: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedEntry:
    """One name of the resolved plan: who may provide it (in group order), and every requirement of it."""

    providers: tuple[Provider, ...]
    requires: tuple[Requirement, ...]

    @property
    def name(self) -> str:
        """The name that all requirements share."""
        return self.requires[0].name


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPlan:
    """What detection hands to the build: plan.toml."""

    entries: tuple[ResolvedEntry, ...] = ()

    def entries_for(self, buildpack: BuildpackId, *, is_extension: bool = False) -> tuple[PlanEntry, ...]:
        """Return the plan that `buildpack` gets: every requirement of every entry that it may provide."""
        return tuple(
            PlanEntry(name=requirement.name, metadata=requirement.metadata)
            for entry in self.entries
            if any((one.id, one.is_extension) == (buildpack, is_extension) for one in entry.providers)
            for requirement in entry.requires
        )

    def without(self, names: frozenset[str]) -> ResolvedPlan:
        """Return what is left when these names are met."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.name not in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEntry:
    """One entry of the buildpack plan that `bin/build` gets."""

    name: str
    metadata: Mapping[str, object] = field(default_factory=dict)


def read_build_plan(path: Path) -> BuildPlan:
    """Return the plan that `bin/detect` wrote; an empty file is an empty plan. Raises `ConfigurationError`."""
    document = read_table(path)
    plan = _parse_alternative(document)
    return replace(plan, alternatives=tuple(_parse_alternative(table) for table in document.tables("or")))


def write_build_plan(path: Path, plan: BuildPlan) -> None:
    """Write what `bin/detect` must write."""
    alternatives = [_render_alternative(alternative) for alternative in plan.alternatives]
    write_toml(path, {**_render_alternative(plan), "or": alternatives or None})


def read_resolved_plan(path: Path) -> ResolvedPlan:
    """Return plan.toml. Raises `ConfigurationError`."""
    return parse_resolved_plan(read_table(path).tables("entries"))


def write_resolved_plan(path: Path, plan: ResolvedPlan) -> None:
    """Write plan.toml."""
    write_toml(path, {"entries": render_resolved_plan(plan) or None})


def parse_resolved_plan(tables: tuple[Table, ...]) -> ResolvedPlan:
    """Return the plan with these entries. Raises `ConfigurationError`."""
    return ResolvedPlan(entries=tuple(_parse_entry(table) for table in tables))


def render_resolved_plan(plan: ResolvedPlan) -> list[dict[str, object]]:
    """Return what `parse_resolved_plan` reads."""
    return [
        {
            "providers": [_render_provider(provider) for provider in entry.providers],
            "requires": [_render_named(requirement) for requirement in entry.requires],
        }
        for entry in plan.entries
    ]


def read_buildpack_plan(path: Path) -> tuple[PlanEntry, ...]:
    """Return the entries that `bin/build` is given, in order."""
    return tuple(
        PlanEntry(name=table.string("name"), metadata=table.table("metadata").values)
        for table in read_table(path).tables("entries")
    )


def write_buildpack_plan(path: Path, entries: tuple[PlanEntry, ...]) -> None:
    """Write the plan for one buildpack."""
    write_toml(path, {"entries": [_render_named(entry) for entry in entries] or None})


def _parse_alternative(table: Table) -> BuildPlan:
    return BuildPlan(
        provides=tuple(provided.string("name") for provided in table.tables("provides")),
        requires=tuple(_parse_requirement(required) for required in table.tables("requires")),
    )


def _parse_requirement(table: Table) -> Requirement:
    if "version" in table:
        # Removed from the Buildpack API long ago; the reference implementation refuses it as well.
        raise table.error("is not allowed: put it into `metadata`", key="version")
    return Requirement(name=table.string("name"), metadata=table.table("metadata").values)


def _parse_entry(table: Table) -> ResolvedEntry:
    providers = tuple(
        Provider(
            id=provider.parsed("id", BuildpackId.parse),
            version=provider.string("version"),
            is_extension=provider.boolean("extension", default=False),
        )
        for provider in table.tables("providers")
    )
    requires = tuple(_parse_requirement(required) for required in table.tables("requires"))
    if not requires:
        raise table.error("is required", key="requires")
    return ResolvedEntry(providers=providers, requires=requires)


def _render_provider(provider: Provider) -> dict[str, object]:
    return {"id": provider.id, "version": provider.version, "extension": provider.is_extension or None}


def _render_alternative(plan: BuildPlan) -> dict[str, object]:
    return {
        "provides": [{"name": name} for name in plan.provides] or None,
        "requires": [_render_named(requirement) for requirement in plan.requires] or None,
    }


def _render_named(entry: Requirement | PlanEntry) -> dict[str, object]:
    return {"name": entry.name, "metadata": entry.metadata or None}
