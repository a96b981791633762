"""What Poetry said in an earlier build, kept in the cache layer: while nothing that decides it has changed, it is not asked again."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.projects import hash_metadata
from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.project import LOCK
from lifecycle.cnb.toml import write_atomically

_FORMAT = 1
_NAME = "poetry.json"
# `poetry.toml` holds settings of Poetry itself.
_FILES = (PYPROJECT, LOCK, "poetry.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLine:
    """A package that is to be installed, as `poetry export` writes it; no credentials."""

    text: str
    """`name==1.0`, `name @ URL`, `-e file:///…`, perhaps with a marker after ` ; `."""
    hashes: tuple[str, ...]
    """`algorithm:hex`."""
    line: int
    """Of the file that `Answer.origin` names."""
    source_name: str | None = None
    """Of the index in `[[tool.poetry.source]]` that it comes from; `None` for PyPI and what is no package of an index."""
    source_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Poetry makes of the repository."""

    inputs: Mapping[str, str]
    """Everything that decides it, by names for people."""
    lines: tuple[ExportedLine, ...]
    origin: str
    """The file whose lines the packages stand on: poetry.lock if the repository has one, else pyproject.toml."""
    lock: str | None
    """The text of the lock that was made because the repository has none that is fresh; no credentials."""
    projects: Mapping[str, str]
    """Hashes of what in local projects decides the lock that was made, by their paths."""
    notices: tuple[str, ...]
    made: datetime.datetime
    """In UTC."""

    def is_for(self, inputs: Mapping[str, str]) -> bool:
        """Whether Poetry would say the same now. Reads the local projects."""
        return self.inputs == inputs and all(
            Path(path).exists() and hash_metadata(Path(path)) == value for path, value in self.projects.items()
        )


def hash_inputs(app_dir: Path, **others: str) -> Mapping[str, str]:
    """Return the hashes of Poetry's files in `app_dir`, empty for missing ones, and `others`."""
    files = {}
    for name in _FILES:
        path = app_dir / name
        files[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return {**files, **others}


def now() -> datetime.datetime:
    """Return the time to put into an answer."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def read_answer(cache_dir: Path) -> Answer | None:
    """Return the answer that is kept, or `None` when there is none that can be read."""
    try:
        values = json.loads((cache_dir / _NAME).read_bytes())
        if values["format"] != _FORMAT:
            return None
        lines = tuple(
            ExportedLine(**{**line, "line": int(line["line"]), "hashes": tuple(line["hashes"])})
            for line in values["lines"]
        )
        return Answer(
            inputs=dict(values["inputs"]),
            lines=lines,
            origin=str(values["origin"]),
            lock=values["lock"],
            projects=dict(values["projects"]),
            notices=tuple(values["notices"]),
            made=datetime.datetime.fromisoformat(values["made"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_answer(cache_dir: Path, answer: Answer) -> None:
    """Keep `answer` for the next builds."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    values = {
        "format": _FORMAT,
        "inputs": dict(answer.inputs),
        "lines": [
            {
                "text": line.text,
                "hashes": line.hashes,
                "line": line.line,
                "source_name": line.source_name,
                "source_url": line.source_url,
            }
            for line in answer.lines
        ],
        "origin": answer.origin,
        "lock": answer.lock,
        "projects": dict(answer.projects),
        "notices": answer.notices,
        "made": answer.made.isoformat(),
    }
    write_atomically(cache_dir / _NAME, json.dumps(values, indent=1).encode())
