"""Executes a recipe by the BuildKit of a Docker engine."""

from __future__ import annotations

from lifecycle.execution.errors import ExtendError
from pybuild.engines.execution import Executed, Execution
from pybuild.log import Log


def build_with_docker(execution: Execution, log: Log) -> Executed:
    """What the recipe makes."""
    raise ExtendError(message="not yet")
