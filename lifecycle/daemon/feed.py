"""Turns what one function writes piece by piece into something that another reads piece by piece."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

# Pieces that may wait: the bound of the memory that is used
_QUEUE_LENGTH = 4

Write = Callable[[memoryview], None]


class _Stopped(Exception):
    """Nobody reads any more."""


class Feed:
    """The pieces, in order. `failure` is what the writer raised, once they have ended."""

    def __init__(self, write_all: Callable[[Write], None]) -> None:
        self.failure: BaseException | None = None
        self._write_all = write_all
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUE_LENGTH)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate once. Ends where the writer ends, and raises what that raised."""
        self._thread.start()
        while (piece := self._queue.get()) is not None:
            yield piece
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Let the writer end, if it has not."""
        self._stopped.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
            self._thread.join(0.01)

    def _run(self) -> None:
        try:
            self._write_all(self._put)
        except _Stopped:
            pass
        except BaseException as err:  # handed to the thread that reads
            self.failure = err
        self._queue.put(None)

    def _put(self, piece: memoryview) -> None:
        if self._stopped.is_set():
            raise _Stopped
        # The writer uses its buffer again.
        self._queue.put(bytes(piece))
