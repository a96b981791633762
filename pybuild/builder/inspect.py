"""What is in a builder, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from pybuild.builder.value import Builder


def describe_builder(builder: Builder) -> Mapping[str, object]:
    """Everything that is in `builder`, JSON-able."""
    raise NotImplementedError


def render_description(description: Mapping[str, object]) -> str:
    """`describe_builder` for a person."""
    raise NotImplementedError
