"""Which buildpacks are asked when a person names some."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.buildpack import read_descriptor
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import GroupMember, Order
from pybuild.errors import SettingsError
from pybuild.order import choose_order

BUILDPACKS = tuple(
    read_descriptor(Path(__file__).parents[2] / "buildpacks" / name) for name in ("conda", "python", "pip", "poetry")
)
MEMBERS = {one.id.removeprefix("pybuild/"): GroupMember(id=one.id, version=one.version) for one in BUILDPACKS}
BUILDER = Order(
    groups=((MEMBERS["conda"],), (MEMBERS["python"], MEMBERS["pip"]), (MEMBERS["poetry"],)),
)


def chosen(*names: str) -> list[list[str]]:
    order = choose_order(BUILDER, BUILDPACKS, names)
    return [[member.id.removeprefix("pybuild/") for member in group] for group in order.groups]


def test_without_a_name_the_builder_decides() -> None:
    assert chosen() == [["conda"], ["python", "pip"], ["poetry"]]


def test_what_a_buildpack_needs_before_it_comes_with_it() -> None:
    assert chosen("pip") == [["python", "pip"]]
    assert chosen("pybuild/pip@1.2") == [["python", "pip"]]
    assert chosen("poetry", "pip") == [["poetry", "python", "pip"]]


def test_what_is_named_stands_where_it_is_named_and_once() -> None:
    assert chosen("conda", "python", "pip", "conda") == [["conda", "python", "pip"]]


def test_a_buildpack_of_no_group_stands_alone() -> None:
    order = choose_order(Order(groups=((MEMBERS["conda"],),)), BUILDPACKS, ["pip"])
    assert [member.id for member in order.groups[0]] == [BuildpackId("pybuild/pip")]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="no buildpack `poerty`") as caught:
        chosen("poerty")
    assert "`pybuild/conda`" in (caught.value.hint or "")
