"""The API reference has what is public, as Sphinx is told of it; that Sphinx can read it is what the build of the site shows."""

from __future__ import annotations

import inspect
import re

import pytest

import pybuild
from docs.site.reference import inner_types, public_bases, render_reference


def test_every_public_name_is_described_once() -> None:
    described = re.findall(r"^\.\. [\w:]+:: pybuild\.(\w+)$", render_reference(), re.M)
    assert sorted(described) == sorted(pybuild.__all__)


@pytest.mark.parametrize("part", ["Building", "Events", "Errors"])
def test_it_has_parts(part: str) -> None:
    assert f"\n## {part}\n" in render_reference()


@pytest.mark.parametrize("name", pybuild.__all__)
def test_every_public_class_and_function_says_what_it_is(name: str) -> None:
    value = getattr(pybuild, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        # What dataclasses make up begins with their name.
        assert not (value.__doc__ or f"{name}(").startswith(f"{name}(")


def test_types_within_are_found_through_results_and_fields() -> None:
    types = inner_types([pybuild.detect])
    assert pybuild.Detection in types
    assert {"Group", "GroupElement", "BuildpackId"} <= {one.__name__ for one in types}
    assert pybuild.Detection not in inner_types([pybuild.detect, pybuild.Detection])


def test_private_bases_are_passed_over() -> None:
    assert pybuild.MachineError.__bases__ != (pybuild.CnbError,)
    assert public_bases(pybuild.MachineError.__bases__) == [pybuild.CnbError]
