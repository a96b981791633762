"""What every step of one build needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from buildpacks.conda.client import Network
from buildpacks.conda.settings import Settings
from buildpacks.conda.targets import CondaTarget
from buildpacks.conda.wanted import Wanted
from lifecycle.cnb.kit import BuildContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One build, as far as it is known before anything is solved."""

    context: BuildContext
    settings: Settings
    wanted: Wanted
    target: CondaTarget
    network: Network
    cache_dir: Path
    """The cache layer."""
    prefix: Path
