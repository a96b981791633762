"""The time of a build: what each phase took, and when it has to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from lifecycle.cnb.command import CommandTimeout, require_time
from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.cnb.errors import CnbError
from pybuild.errors import Cancelled, DetectTimeLimitReached, TimeLimitReached
from pybuild.log import Log
from pybuild.report import PhaseTime

# For another build of the application; no phase of its own, as most builds need not.
_WAITING = "waiting"
_BEFORE_BUILD = frozenset({_WAITING, "source", "analyze", "detect"})


class Clock:
    """Times the phases of a build, and ends the one in which the time limit is reached, or that somebody cancels."""

    def __init__(self, *, log: Log, limit_s: float, cancellation: Cancellation | None = None) -> None:
        self.log = log
        self._limit_s = limit_s
        self.deadline = Deadline(cancellation=cancellation)
        self.times: list[PhaseTime] = []

    def start(self) -> None:
        """Let the time limit count from now on."""
        self.deadline = self.deadline.within(self._limit_s)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times what runs in the context. Raises `DetectTimeLimitReached`, `TimeLimitReached`, `Cancelled`."""
        since = time.monotonic()
        if self.deadline.has_passed():
            raise self._error(name)
        try:
            with self.log.phase(name):
                yield
        except CommandTimeout as err:
            raise self._error(name) from err
        self.times.append(PhaseTime(name=name, seconds=time.monotonic() - since))

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """For what is waited for before the first phase. Raises `DetectTimeLimitReached`, `Cancelled`."""
        try:
            yield
        except CommandTimeout as err:
            raise self._error(_WAITING) from err

    def check(self) -> None:
        """Raise `CommandTimeout`, which `phase` makes its own error of, where the work has to end."""
        require_time(self.deadline, "pybuild")

    def _error(self, phase: str) -> CnbError:
        if self.deadline.is_cancelled:
            return Cancelled()
        kind = DetectTimeLimitReached if phase in _BEFORE_BUILD else TimeLimitReached
        return kind(phase, self._limit_s)
