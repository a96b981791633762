"""The order of one build: the builder's, or what the person who builds names in its place."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import GroupMember, Order
from pybuild.errors import SettingsError


def choose_order(builder: Order, buildpacks: Sequence[Descriptor], names: Sequence[str]) -> Order:
    """The builder's order, or one group of the buildpacks that are named.

    What the builder's order puts before one of them comes with it: pip without an interpreter could not do its work. Raises
    `SettingsError` for a name that is none of `buildpacks`.
    """
    if not names:
        return builder
    members: list[GroupMember] = []
    for name in names:
        for member in _with_those_before(_find(name, buildpacks), builder):
            if member.id not in {other.id for other in members}:
                members.append(member)
    return Order(groups=(tuple(members),))


def _find(name: str, buildpacks: Sequence[Descriptor]) -> GroupMember:
    """`pip` is short for `pybuild/pip`, and a version is what the builder has."""
    known = {descriptor.id: descriptor for descriptor in buildpacks}
    identity = name.partition("@")[0]
    found = known.get(BuildpackId(identity)) or known.get(BuildpackId(f"pybuild/{identity}"))
    if found is None:
        there = ", ".join(f"`{one}`" for one in sorted(known))
        raise SettingsError(f"the builder has no buildpack `{name}`", f"it has {there}")
    return GroupMember(id=found.id, version=found.version)


def _with_those_before(named: GroupMember, builder: Order) -> tuple[GroupMember, ...]:
    for group in builder.groups:
        ids = [member.id for member in group]
        if named.id in ids:
            return (*group[: ids.index(named.id)], named)
    return (named,)
