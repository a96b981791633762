"""When work has to end: at a time, or as soon as nobody wants its result any more."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


class Cancellation:
    """Says that nobody wants the result any more. Any thread may say so, once and for all."""

    def __init__(self) -> None:
        # A handler of a signal may cancel while its own thread is in here.
        self._lock = threading.RLock()
        self._is_cancelled = False
        self._listeners: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has said so."""
        return self._is_cancelled

    def cancel(self) -> None:
        """Say so. It does not wait for the work to end."""
        with self._lock:
            self._is_cancelled = True
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            listener()

    @contextlib.contextmanager
    def telling(self, listener: Callable[[], object]) -> Iterator[None]:
        """`listener` is called once if it is said before the context ends, at once if it has been: in any thread, so without waiting."""
        number = next(self._numbers)
        with self._lock:
            self._listeners[number] = listener
            # Asked after it is there: whoever cancels in between tells it.
            is_late = self._is_cancelled and self._listeners.pop(number, None) is not None
        if is_late:
            listener()
        try:
            yield
        finally:
            with self._lock:
                self._listeners.pop(number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """`at` is a value of `time.monotonic()`. What works by it asks it, and where it cannot, listens to the cancellation."""

    at: float = float("inf")
    cancellation: Cancellation | None = None

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """That many seconds from now."""
        return cls(at=time.monotonic() + seconds)

    def within(self, seconds: float) -> Deadline:
        """This one, or an earlier one: that many seconds from now."""
        return replace(self, at=min(self.at, time.monotonic() + seconds))

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants the result any more."""
        return self.cancellation is not None and self.cancellation.is_cancelled

    def left_s(self) -> float:
        """Seconds that are left, not less than 0."""
        return 0.0 if self.is_cancelled else max(0.0, self.at - time.monotonic())

    def has_passed(self) -> bool:
        """Whether work has to end."""
        return self.left_s() <= 0

    def telling(self, listener: Callable[[], object]) -> contextlib.AbstractContextManager[None]:
        """As `Cancellation.telling`; nothing is told of the time."""
        return contextlib.nullcontext() if self.cancellation is None else self.cancellation.telling(listener)

    @contextlib.contextmanager
    def ending(self, listener: Callable[[], object]) -> Iterator[None]:
        """`listener` is called when work has to end before the context does, whichever comes first or both: without waiting."""
        with self.telling(listener):
            if self.at == float("inf"):
                yield
                return
            timer = threading.Timer(min(max(0.0, self.at - time.monotonic()), threading.TIMEOUT_MAX), listener)
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()


NEVER = Deadline()
