"""The lock: which versions and files the requirements were resolved to, kept in the cache layer from build to build."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from buildpacks.pip.inputs import LockInputs, parse_inputs
from lifecycle.cnb.toml import write_atomically

_FORMAT = 1
_NAME = "lock.json"
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:==|===|@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A resolution. `text` is a requirement file with exact versions and hashes, without index options or credentials."""

    text: str
    inputs: LockInputs
    made: datetime.datetime
    """In UTC. Kept in the cache only: an image that holds it would be another one every time."""

    @property
    def sha256(self) -> str:
        """Hash of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def packages(self) -> tuple[str, ...]:
        """Canonical names of the packages, in order; local projects, which the lock holds by path, are not among them."""
        found = (_PINNED.match(line) for line in self.text.splitlines())
        return tuple(canonicalize_name(match[1]) for match in found if match)

    @property
    def size(self) -> int:
        """How many packages are installed."""
        return sum(1 for line in self.text.splitlines() if line and not line.startswith(("#", " ")))


def new_lock(text: str, inputs: LockInputs) -> Lock:
    """Return a lock that is made now."""
    return Lock(text=text, inputs=inputs, made=datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0))


def read_lock(directory: Path) -> Lock | None:
    """Return the lock that is kept in `directory`, or `None` when there is none that can be read."""
    try:
        values = json.loads((directory / _NAME).read_bytes())
        if values["format"] != _FORMAT:
            return None
        return Lock(
            text=str(values["text"]),
            inputs=parse_inputs(values["inputs"]),
            made=datetime.datetime.fromisoformat(values["made"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_lock(directory: Path, lock: Lock) -> None:
    """Keep `lock` in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {"format": _FORMAT, "made": lock.made.isoformat(), "inputs": asdict(lock.inputs), "text": lock.text}
    write_atomically(directory / _NAME, json.dumps(values, indent=1).encode())


def describe_age(made: datetime.datetime, now: datetime.datetime) -> str:
    """Return how long ago that was: `3 days ago`."""
    seconds = max(0, int((now - made).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
