"""Whether a name is one of those that an image is known by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference


def is_named(name: str, names: Iterable[str]) -> bool:
    """Return whether `name` is one of `names`; short forms are spelled out, digests do not count."""
    return _comparable(name) in {_comparable(one) for one in names}


def _comparable(name: str) -> str:
    try:
        reference = Reference.parse(name)
    except InvalidValue:
        return name
    return str(replace(reference, digest=None).with_default_tag())
