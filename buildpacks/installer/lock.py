"""The lock: which versions and files the requirements were resolved to, kept in the cache layer from build to build."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from buildpacks.installer.inputs import LockInputs, parse_inputs
from buildpacks.installer.lines import logical_lines
from lifecycle.cnb.toml import write_atomically

_FORMAT = 1
_NAME = "lock.json"
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:==|===|@)")


# What the file says of itself; the same for everyone, so that it changes no image.
_HEADER = "# The Python packages of this image, as they were resolved from its requirement lines. pip and uv read this file.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEntry:
    """A package of a lock. `text` is `name==1.0`, `name @ URL`, or the path of a local project, perhaps after `-e`."""

    text: str
    hashes: tuple[str, ...] = ()
    """`algorithm:hex`; none for what can have none."""

    @property
    def name(self) -> str | None:
        """Canonical; `None` for a local project."""
        found = _PINNED.match(self.text)
        return canonicalize_name(found[1]) if found else None

    @property
    def version(self) -> str | None:
        """`None` for what is not pinned to a version of an index."""
        name, pinned, version = self.text.partition("==")
        return version.partition(";")[0].strip() if pinned and " @ " not in name else None

    @property
    def is_local(self) -> bool:
        """Whether it is a project of the app directory."""
        return self.text.removeprefix("-e ").startswith("/") or " @ file:" in self.text

    def render(self) -> str:
        """Return the entry as lines of a requirement file."""
        return " \\\n    ".join((self.text, *(f"--hash={value}" for value in self.hashes))) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A resolution, without index options and credentials."""

    entries: tuple[LockEntry, ...]
    inputs: LockInputs
    made: datetime.datetime
    """In UTC. Kept in the cache only: an image that holds it would be another one every time."""

    def render(self) -> str:
        """Return the lock as a requirement file."""
        return _HEADER + "".join(entry.render() for entry in self.entries)

    @property
    def sha256(self) -> str:
        """Hash of the rendered lock, in hex."""
        return hashlib.sha256(self.render().encode()).hexdigest()


def parse_entries(text: str) -> tuple[LockEntry, ...]:
    """Return the entries of a requirement file as uv and `LockEntry.render` write it."""
    entries = []
    for line in logical_lines(text):
        body, *hashes = line.text.split(" --hash=")
        entries.append(LockEntry(text=body.strip(), hashes=tuple(value.strip() for value in hashes)))
    return tuple(entries)


def new_lock(entries: tuple[LockEntry, ...], inputs: LockInputs) -> Lock:
    """Return a lock that is made now."""
    return Lock(
        entries=entries, inputs=inputs, made=datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    )


def read_lock(directory: Path) -> Lock | None:
    """Return the lock that is kept in `directory`, or `None` when there is none that can be read."""
    try:
        values = json.loads((directory / _NAME).read_bytes())
        if values["format"] != _FORMAT:
            return None
        return Lock(
            entries=parse_entries(values["text"]),
            inputs=parse_inputs(values["inputs"]),
            made=datetime.datetime.fromisoformat(values["made"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_lock(directory: Path, lock: Lock) -> None:
    """Keep `lock` in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {"format": _FORMAT, "made": lock.made.isoformat(), "inputs": asdict(lock.inputs), "text": lock.render()}
    write_atomically(directory / _NAME, json.dumps(values, indent=1).encode())


def describe_age(made: datetime.datetime, now: datetime.datetime) -> str:
    """Return how long ago that was: `3 days ago`."""
    seconds = max(0, int((now - made).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
