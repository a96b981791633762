"""Locked packages as the records that rattler installs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import rattler

from buildpacks.conda.lock import LockedPackage


def make_records(archives: Mapping[LockedPackage, Path]) -> list[rattler.RepoDataRecord]:
    """Return a record for each package, in the same order, with the public URL. Reads archives that no channel described."""
    raise NotImplementedError
