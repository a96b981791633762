"""Commands that are killed before one of their steps, as `kill_at.py` counts them."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.integration.command import Pybuild, expect_success

_KILLER = Path(__file__).with_name("kill_at.py")


def steps_of(pybuild: Pybuild, *arguments: str | Path) -> int:
    """How many steps a command has, which is run to its end."""
    counted = pybuild.cache_home / "steps"
    expect_success(at(pybuild, 0)(*arguments))
    return int(counted.read_text())


def kill(pybuild: Pybuild, step: int, *arguments: str | Path) -> bool:
    """Run a command that is killed before a step; whether it came to that."""
    finished = at(pybuild, step)(*arguments)
    assert finished.status in (0, -signal.SIGKILL), f"step {step}:\n{finished.stderr[-4000:]}"
    return finished.status != 0


def at(pybuild: Pybuild, step: int, trouble: str = "SIGKILL") -> Pybuild:
    """The command with trouble before a step."""
    program = (sys.executable, str(_KILLER), trouble, str(step), str(pybuild.cache_home / "steps"))
    return replace(pybuild, program=program)


def spread(steps: int, kills: int) -> list[int]:
    """Numbers of steps from the first to the last, at even distances."""
    return sorted({1 + (steps - 1) * number // (kills - 1) for number in range(kills)})
