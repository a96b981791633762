"""TOML text (https://toml.io/en/v1.0.0) that programs without a TOML parser can read as well.

Buildpacks in bash and scripts of pipelines look for a line with `grep` and `sed`. So every key has one line, every table a header
of its own and every table of an array as well, whatever their length, as the reference implementation writes them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def render_toml(values: Mapping[str, object]) -> str:
    """Return TOML in the order of `values`, a table's own keys first; keys that are `None` are left out.

    Raises:
        TypeError: a value that TOML has no word for.
    """
    return "".join(_render_table(values, ())).lstrip("\n")


def _render_table(values: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    tables: list[tuple[str, object]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) or _is_array_of_tables(value):
            tables.append((key, value))
        elif value is not None:
            yield f"{_render_key(key)} = {_render_value(value)}\n"
    for key, value in tables:
        inner = (*path, key)
        name = ".".join(map(_render_key, inner))
        if isinstance(value, Mapping):
            yield f"\n[{name}]\n"
            yield from _render_table(value, inner)
        elif isinstance(value, Sequence):
            for element in value:
                yield f"\n[[{name}]]\n"
                yield from _render_table(element, inner)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(element, Mapping) for element in value)


def _render_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _render_string(key)


def _render_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _render_string(value)
        case int() | float():
            # Python's words for numbers are TOML's, `inf` and `nan` too.
            return str(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case list() | tuple():
            return f"[{', '.join(map(_render_value, value))}]"
        case Mapping():
            pairs = (f"{_render_key(key)} = {_render_value(one)}" for key, one in value.items() if one is not None)
            return f"{{{', '.join(pairs)}}}"
        case _:
            raise TypeError(f"TOML has no word for {type(value).__name__}")


def _render_string(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}")
