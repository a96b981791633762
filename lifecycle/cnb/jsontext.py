"""JSON as labels and caches hold it: the same values give the same bytes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import Table

# Halves of surrogate pairs, which no UTF-8 can hold; but for those that stand for bytes (`surrogateescape`).
_HALVES = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")


def render_json(values: Mapping[str, object]) -> str:
    """Return JSON with sorted keys and no white space. Keys that are `None` are left out.

    Layer metadata comes from TOML, which has values that JSON lacks: dates and times become ISO 8601 strings, `nan` and
    `inf` become strings.
    """
    return render_json_value(values)


def render_json_value(value: object) -> str:
    """Return any JSON value as `render_json` has an object."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(text: str, *, source: str) -> Table:
    """Return a JSON object for typed reading. Raises `ConfigurationError`.

    Keys whose value is null are dropped, at every depth: Go programs write null for what they leave out. As they read it, half a
    surrogate pair is U+FFFD.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ConfigurationError(source, f"invalid JSON: {err}") from err
    if not isinstance(values, dict):
        raise ConfigurationError(source, "must be a JSON object")
    return Table(values=_clean_object(values), source=source)


def _clean_object(values: dict[str, object]) -> dict[str, object]:
    return {_HALVES.sub("\ufffd", key): _clean(item) for key, item in values.items() if item is not None}


def _clean(value: object) -> object:
    if isinstance(value, dict):
        return _clean_object(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return _HALVES.sub("\ufffd", value) if isinstance(value, str) else value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
