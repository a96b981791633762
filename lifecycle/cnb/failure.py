"""An error as JSON, from the program that it ended to the one that started it.

A buildpack's is `<layers>/<buildpack>/error.json`, an extension of pybuild's: other lifecycles pass the file over, it is no layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import read_regular_file, write_atomically

_NAME = "error.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What was said of an error, by whoever wrote it."""

    code: str | None
    exit_code: int | None
    summary: str
    facts: tuple[tuple[str, str], ...]
    hint: str | None


def write_failure(path: Path, error: CnbError) -> None:
    """Write an error. Raises `OSError`."""
    values = {
        "code": error.code,
        "exit-code": error.exit_code,
        "summary": error.summary,
        "facts": [{"label": label, "value": value} for label, value in error.facts],
        "hint": error.hint,
    }
    write_atomically(path, render_json(values).encode("utf-8", "backslashreplace"))


def read_failure(path: Path, *, source: str) -> Failure:
    """Return what `write_failure` wrote. Raises `ConfigurationError`, `OSError`."""
    document = parse_json(read_regular_file(path, follow_links=False).decode("utf-8", "replace"), source=source)
    return Failure(
        code=document.optional_string("code"),
        exit_code=document.optional_integer("exit-code"),
        summary=document.string("summary"),
        facts=tuple((one.string("label"), one.optional_string("value") or "") for one in document.tables("facts")),
        hint=document.optional_string("hint"),
    )


def own_failure_path(own_layers: Path) -> Path:
    """Return where the error of a buildpack is."""
    return own_layers / _NAME
