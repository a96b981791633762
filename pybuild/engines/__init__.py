"""Where a build environment runs."""

from __future__ import annotations

from enum import Enum


class Engine(str, Enum):
    """What runs the phases of a build that run code of others, and what executes recipes."""

    SANDBOX = "sandbox"
    DOCKER = "docker"
