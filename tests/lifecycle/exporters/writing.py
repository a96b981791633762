"""Outputs of tests, by their texts."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.exporters import Connections, check_outputs, parse_output, write_outputs
from lifecycle.oci.image import Image
from tests.lifecycle.registry.fake_registry import client_for


def write_to(image: Image, *texts: str, tags: Sequence[str] = ()) -> tuple[str, ...]:
    """Put an image there; the locations where it is."""
    outputs = [parse_output(text, tags=tags) for text in texts]
    return tuple(one.location for one in write_outputs(image, outputs, connections()))


def check(*texts: str) -> None:
    """Find out whether images can be put there."""
    check_outputs([parse_output(text) for text in texts], connections())


def connections() -> Connections:
    """With a client that has no credentials and does not wait."""
    return Connections(client=client_for(), env={})
