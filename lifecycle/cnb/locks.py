"""Locks that buildpacks show to the platform: `<layers>/<buildpack>/locks.json`, an extension of pybuild's.

The specification has no place for them. Other lifecycles pass the file over: it is no layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import read_regular_file, write_atomically

_NAME = "locks.json"


def write_locks(own_layers: Path, locks: Mapping[str, str]) -> None:
    """Write lock files by their names, such as `requirements.lock`; none removes those of an earlier build."""
    if locks:
        write_atomically(own_layers / _NAME, render_json(locks).encode())
    else:
        (own_layers / _NAME).unlink(missing_ok=True)


def read_locks(own_layers: Path) -> Mapping[str, str]:
    """Return the lock files by their names. Raises `ConfigurationError`."""
    path = own_layers / _NAME
    if not path.exists():
        return {}
    document = parse_json(read_regular_file(path, follow_links=False).decode(errors="replace"), source=str(path))
    return {name: document.string(name) for name in document.values}
