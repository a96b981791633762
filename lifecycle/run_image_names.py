"""Names of run images: whether one is of those that an image is known by, and what an app image says that it stands on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference


def is_named(name: str, names: Iterable[str]) -> bool:
    """Return whether `name` is one of `names`; short forms are spelled out, digests do not count."""
    return _comparable(name) in {_comparable(one) for one in names}


def pinned(name: str, digest: str) -> str:
    """Return the digest in the repository of `name`, which is how an app image names its run image; whichever mirror it was
    taken from, and also where it was in no registry, images that are the same say the same.
    """
    try:
        return f"{Reference.parse(name).name}@{digest}"
    except InvalidValue:
        # A builder may call its image what no registry would.
        return digest


def _comparable(name: str) -> str:
    try:
        reference = Reference.parse(name)
    except InvalidValue:
        return name
    return str(replace(reference, digest=None).with_default_tag())
