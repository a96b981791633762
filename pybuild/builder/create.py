"""Making a builder, once."""

from __future__ import annotations

from pathlib import Path

from pybuild.builder.definition import Definition
from pybuild.builder.value import Builder
from pybuild.log import Log


def ensure_builder(definition: Definition, store: Path, log: Log, *, refresh: bool = False) -> Builder:
    """The builder that `definition` describes, made now where the store has none; parts that are there are kept.

    With `refresh` the bases and interpreters are made anew, with today's packages.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be made; nothing half made is left.
    """
    raise NotImplementedError
