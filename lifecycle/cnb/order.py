"""order.toml and system.toml: which groups of buildpacks are tried, in which order (platform.md, "order.toml (TOML)")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.toml import Table, read_table, write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """A buildpack or an image extension that an order names. `exec_env` empty: it takes part in every execution environment."""

    id: BuildpackId
    version: str
    optional: bool = False
    exec_env: tuple[str, ...] = ()
    is_extension: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other: an extension may have the id of a buildpack."""
        return member_key(self, is_extension=self.is_extension)

    def __str__(self) -> str:
        return f"{self.id}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Groups in the order in which they are tried; each group in the order in which its members build.

    `extensions` are groups of image extensions: each is tried before the members of each group, and none of them has to take part.
    """

    groups: tuple[tuple[GroupMember, ...], ...]
    extensions: tuple[tuple[GroupMember, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Buildpacks that an operator puts before and after every group (platform.md, "system.toml (TOML)")."""

    before: tuple[GroupMember, ...] = ()
    after: tuple[GroupMember, ...] = ()

    def surround(self, order: Order) -> Order:
        """Return the order with these buildpacks in every group that does not name them itself."""
        return replace(order, groups=tuple(self._surround_group(group) for group in order.groups))

    def _surround_group(self, group: tuple[GroupMember, ...]) -> tuple[GroupMember, ...]:
        named = {member.id for member in group}
        before = tuple(member for member in self.before if member.id not in named)
        after = tuple(member for member in self.after if member.id not in named)
        return before + group + after


def member_key(name: object, *, is_extension: bool) -> str:
    """Return what tells `id@version` from the same of the other kind."""
    return f"extension {name}" if is_extension else str(name)


def read_order(path: Path) -> Order:
    """Return the order in `path`. Raises `ConfigurationError`."""
    document = read_table(path)
    extensions = (_parse_members(group.tables("group")) for group in document.tables("order-extensions"))
    return replace(
        parse_order(document),
        # platform.md, "order.toml (TOML)": extensions are always optional.
        extensions=tuple(
            tuple(replace(one, optional=True, is_extension=True) for one in members) for members in extensions
        ),
    )


def parse_order(document: Table) -> Order:
    """Return the `[[order]]` of a document, which may also be a buildpack.toml."""
    return Order(groups=tuple(_parse_members(group.tables("group")) for group in document.tables("order")))


def write_order(path: Path, order: Order) -> None:
    """Write order.toml."""
    values = {
        "order": [{"group": [_render_member(member) for member in group]} for group in order.groups],
        "order-extensions": [{"group": [_render_member(one) for one in group]} for group in order.extensions] or None,
    }
    write_toml(path, values)


def read_system(path: Path) -> System:
    """Return what `path` adds to every group."""
    system = read_table(path).table("system")
    return System(
        before=_parse_members(system.table("pre").tables("buildpacks")),
        after=_parse_members(system.table("post").tables("buildpacks")),
    )


def _parse_members(tables: tuple[Table, ...]) -> tuple[GroupMember, ...]:
    return tuple(
        GroupMember(
            id=table.parsed("id", BuildpackId.parse),
            version=table.parsed("version", parse_version),
            optional=table.boolean("optional", default=False),
            exec_env=table.strings("exec-env"),
        )
        for table in tables
    )


def _render_member(member: GroupMember) -> dict[str, object]:
    return {
        "id": member.id,
        "version": member.version,
        "optional": True if member.optional and not member.is_extension else None,
        "exec-env": member.exec_env or None,
    }
