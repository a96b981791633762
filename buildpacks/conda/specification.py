"""What an environment file asks for, as values with the place of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.errors import InvalidEnvironmentFile, Origin, Problem

__all__ = ["Entry", "EnvironmentFile", "InvalidEnvironmentFile", "Origin", "Problem", "read_environment_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An item of a list: `text` as YAML means it, without quotes; `origin` is where it starts."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFile:
    """An environment file whose shape is right; its channels are not judged, its specifications not yet parsed."""

    name: str
    """Relative to the app directory, as the person who wrote it calls it."""
    text: str
    """All of it, decoded, without a byte order mark; ends of lines as they were."""
    encoding: str
    """`utf-8`, `utf-8-sig`, `utf-16-le` or `utf-16-be`."""
    channels: tuple[Entry, ...] | None
    """As listed, `nodefaults` included; `None`: no such key, or nothing in it."""
    dependencies: tuple[Entry, ...]
    """conda's, as listed."""
    pip: tuple[Entry, ...]
    """The lines of the `pip:` section, as listed."""
    has_pip_section: bool
    variables: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    """What the user should know although nothing is wrong."""
    dependencies_origin: Origin | None
    """Where the key `dependencies` stands; `None`: there is none."""

    @property
    def installs_nothing(self) -> bool:
        """Whether there is no package in it: the untouched template of many a repository."""
        return not self.dependencies and not self.pip


def read_environment_file(path: Path, *, name: str) -> EnvironmentFile:
    """Return what the file `path`, which people know as `name`, asks for. Raises `InvalidEnvironmentFile`."""
    raise NotImplementedError
