"""The lock: which packages an environment file was solved to, kept in the cache layer from build to build."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from buildpacks.installer.inputs import describe_change
from lifecycle.cnb.toml import write_atomically

_FORMAT = 1
_NAME = "lock.json"
_SUFFIXES = (".conda", ".tar.bz2")
_EXPLICIT_HEADER = (
    "# The conda packages of this environment. `conda create --name NAME --file FILE` installs the same ones."
)
# How the fields are called when they have changed.
_TITLES = {
    "channels": "channels",
    "specs": "dependencies",
    "platform": "platform",
    "virtual_packages": "virtual packages",
    "pins": "pins",
    "solver": "solver",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """A package that was chosen. Nothing in it holds credentials."""

    name: str
    version: str
    build: str
    subdir: str
    url: str
    """Where its channel has it, whatever mirror it is fetched from."""
    channel: str
    """URL of the channel, without the subdirectory of the platform and without a slash at its end."""
    sha256: str | None
    """In hex; `None` where neither the channel nor the repository's lock names one."""
    md5: str | None
    """In hex."""
    size: int | None
    """Of the archive, in bytes."""
    record: str | None
    """The channel's own record of the package, as JSON; `None`: only the archive knows (explicit locks)."""

    @property
    def file_name(self) -> str:
        """`numpy-1.26.4-py310hb13e2d6_0.conda`."""
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """`.conda` or `.tar.bz2`."""
        return next((suffix for suffix in _SUFFIXES if self.file_name.endswith(suffix)), "")

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.build}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInputs:
    """Everything that decides what is solved; no credentials. Two equal ones keep the lock."""

    channels: tuple[str, ...]
    """URLs, first one first."""
    specs: tuple[str, ...]
    platform: str
    """`linux-64`."""
    virtual_packages: tuple[str, ...]
    """`__glibc=2.36=0`."""
    pins: tuple[str, ...] = ()
    """What was added to the file's dependencies, such as `pip`."""
    solver: str = ""
    """Name and version."""

    def differences(self, old: LockInputs) -> tuple[str, ...]:
        """Return what has changed since `old`, one line each, for a person."""
        pairs = ((field.name, getattr(old, field.name), getattr(self, field.name)) for field in fields(self))
        changed = (describe_change(_TITLES[name], before, after) for name, before, after in pairs if before != after)
        return tuple(itertools.chain.from_iterable(changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A solved environment."""

    packages: tuple[LockedPackage, ...]
    """Every package after those that it depends on."""
    inputs: LockInputs
    made: datetime.datetime
    """In UTC. Kept in the cache only: an image that holds it would be another one every time."""

    @property
    def sha256(self) -> str:
        """Hash, in hex, of what decides the bytes of the environment."""
        return hash_packages(self.packages)


def hash_packages(packages: Sequence[LockedPackage]) -> str:
    """Return the hash, in hex, of packages in any order: equal for locks that install the same from the same places."""
    lines = sorted(f"{package.url} {package.sha256 or package.md5} {package.record}\n" for package in packages)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def new_lock(packages: tuple[LockedPackage, ...], inputs: LockInputs) -> Lock:
    """Return a lock that is made now."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return Lock(packages=packages, inputs=inputs, made=now)


def read_lock(directory: Path) -> Lock | None:
    """Return the lock that is kept in `directory`, or `None` when there is none that can be read."""
    try:
        values = json.loads((directory / _NAME).read_bytes())
        if values["format"] != _FORMAT:
            return None
        inputs: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values["inputs"].items()
        }
        return Lock(
            packages=tuple(_parse_package(package) for package in values["packages"]),
            inputs=LockInputs(**inputs),
            made=datetime.datetime.fromisoformat(values["made"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_lock(directory: Path, lock: Lock) -> None:
    """Keep `lock` in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    values = {
        "format": _FORMAT,
        "made": lock.made.isoformat(),
        "inputs": asdict(lock.inputs),
        "packages": [asdict(package) for package in lock.packages],
    }
    write_atomically(directory / _NAME, json.dumps(values, indent=1).encode())


def render_explicit(packages: Sequence[LockedPackage], *, platform: str) -> str:
    """Return the packages, in their order, as an `@EXPLICIT` file: `conda create --file` installs from it without a solve.

    Every conda takes `url#md5`, and since 24.9 `url#sha256:hex`: the stronger is written where it is known.
    https://conda.org/learn/ceps/cep-0023
    """
    lines = [f"{package.url}{_render_hash(package)}" for package in packages]
    return "\n".join((_EXPLICIT_HEADER, f"# platform: {platform}", "@EXPLICIT", *lines, ""))


def _render_hash(package: LockedPackage) -> str:
    if package.sha256 is not None:
        return f"#sha256:{package.sha256}"
    return f"#{package.md5}" if package.md5 is not None else ""


def _parse_package(values: Mapping[str, Any]) -> LockedPackage:
    return LockedPackage(**values)
