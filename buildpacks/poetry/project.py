"""A Poetry project as a value: what the buildpack needs to know of one that Poetry can use (`buildpacks.poetry.reading`).

https://python-poetry.org/docs/1.8/pyproject/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from buildpacks.installer.errors import Origin

LOCK = "poetry.lock"
# Poetry's name for `[tool.poetry.dependencies]`.
MAIN_GROUP = "main"
DependencyKind = Literal["index", "git", "path", "file", "url"]
Priority = Literal["default", "primary", "secondary", "supplemental", "explicit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonRange:
    """The versions of Python that a project asks for."""

    text: str
    """As Poetry writes it: `^3.10`, `>=3.9,<3.13`."""
    alternatives: tuple[str, ...]
    """As PEP 440 writes it; one of them must be met; an empty one is met by all. Never none."""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One constraint on a dependency, as a group names it; a dependency may have several."""

    name: str
    """As it is written."""
    group: str
    kind: DependencyKind
    location: str | None
    """The repository, path or URL of those that are not from an index; may hold credentials: mask them."""
    reference: str | None
    """The branch, tag or revision of git."""
    develop: bool
    optional: bool
    source: str | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of dependencies. `main` is one too, and the first."""

    name: str
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An index that the project names. `url` may hold credentials: mask them; `None` is PyPI."""

    name: str
    url: str | None
    priority: Priority
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryProject:
    """A project. Everything is in the order of the file."""

    name: str | None
    """`None` only where the project is no package."""
    version: str | None
    package_mode: bool
    python: PythonRange | None
    """`None`: it asks for none."""
    dependencies: tuple[Dependency, ...]
    """Of all groups, without `python`."""
    groups: tuple[Group, ...]
    extras: tuple[str, ...]
    scripts: tuple[str, ...]
    """What will be on PATH; nothing where the project is no package."""
    sources: tuple[Source, ...]
    readmes: tuple[str, ...]
    build_backend: str | None
    build_script: str | None
    """A program of the project that runs when the project is installed."""
    has_lock: bool
    notices: tuple[str, ...]
    """What the user should know, though the project can be used."""
