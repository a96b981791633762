"""The time of a build: what each phase took, and when it has to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from lifecycle.cnb.command import CommandTimeout
from pybuild.errors import DetectTimeLimitReached, TimeLimitReached
from pybuild.log import Log
from pybuild.report import PhaseTime

_BEFORE_BUILD = frozenset({"source", "analyze", "detect"})


class Clock:
    """Times the phases of a build, and ends the one in which the time limit is reached."""

    def __init__(self, *, log: Log, limit_s: float) -> None:
        self.log = log
        self._limit_s = limit_s
        self.deadline = float("inf")
        self.times: list[PhaseTime] = []

    def start(self) -> None:
        """Let the time limit count from now on."""
        self.deadline = time.monotonic() + self._limit_s

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times what runs in the context. Raises `DetectTimeLimitReached`, `TimeLimitReached`."""
        since = time.monotonic()
        kind = DetectTimeLimitReached if name in _BEFORE_BUILD else TimeLimitReached
        if since > self.deadline:
            raise kind(name, self._limit_s)
        try:
            with self.log.phase(name):
                yield
        except CommandTimeout as err:
            raise kind(name, self._limit_s) from err
        self.times.append(PhaseTime(name=name, seconds=time.monotonic() - since))
