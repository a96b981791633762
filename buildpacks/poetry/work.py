"""What every step of one build needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from buildpacks.installer.tools import Python
from buildpacks.poetry.project import PoetryProject
from buildpacks.poetry.settings import Settings
from lifecycle.cnb.kit import BuildContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One build, as far as it is known before Poetry is asked anything."""

    context: BuildContext
    settings: Settings
    project: PoetryProject
    groups: tuple[str, ...]
    """To install."""
    extras: tuple[str, ...]
    python: Python
    cache_dir: Path
    """The cache layer."""
