"""What the environment is made for: the platform and the virtual packages of the run image, nothing of the build machine.

https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-virtual.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from buildpacks.conda.settings import Settings
from lifecycle.cnb.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaTarget:
    """A platform as conda knows it."""

    platform: str
    """`linux-64`."""
    virtual_packages: tuple[str, ...]
    """`__glibc=2.36=0`, in the order of their names."""


def find_target(target: Target, settings: Settings, *, env: Mapping[str, str]) -> CondaTarget:
    """Return what packages are chosen for. Raises `UnsupportedPlatform`."""
    raise NotImplementedError
