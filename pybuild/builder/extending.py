"""A builder.toml that says only what it has beside the default builder: `extends = "default"` in `[pybuild]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lifecycle.cnb.toml import Table, read_table

KEY, _DEFAULT = "extends", "default"
# What the file has comes before what the default builder has: its groups are tried first.
_ADDED = ("buildpacks", "extensions", "order", "order-extensions")
_MERGED = ("build", "pybuild")


def extend_default(document: Table, default: Path, directory: Path) -> Table:
    """Return `document` with what the builder of the file `default` has and it does not say, where it asks for that.

    Paths of `default` start from `directory`. Raises `ConfigurationError`.
    """
    own = document.table("pybuild")
    if KEY not in own:
        return document
    if own.string(KEY) != _DEFAULT:
        raise own.error(f'must be "{_DEFAULT}", the builder that comes with pybuild', key=KEY)
    there = read_table(default)
    values: dict[str, object] = {**there.values, **document.values}
    for key in _MERGED:
        values[key] = {**there.table(key).values, **document.table(key).values}
    for key in _ADDED:
        tables = [table.values for table in there.tables(key)]
        values[key] = [
            *(table.values for table in document.tables(key)),
            *(_absolute(one, directory) for one in tables),
        ]
    return replace(document, values=values)


def _absolute(values: Mapping[str, object], directory: Path) -> Mapping[str, object]:
    return {**values, "uri": (directory / str(values["uri"])).as_uri()} if "uri" in values else values
