"""Where a phase says what it does. In the build environment: information on stdout, warnings and errors on stderr
(platform.md, "Logging"); in the platform's process: whatever the platform gives, which only has to fit `PhaseLog`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

LOG_LEVELS = ("debug", "info", "warn", "error")


class PhaseLog(Protocol):
    """Receives lines without a newline."""

    def detail(self, line: str) -> None:
        """Show what only someone who looks for a cause wants to see."""

    def info(self, line: str) -> None:
        """Show an ordinary line."""

    def warning(self, line: str) -> None:
        """Show something that is likely to hurt."""


class StepLog(PhaseLog, Protocol):
    """A log that also shows what takes its time."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Show that `title` is under way until the context ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLog:
    """The log of a phase that is a process of its own. `level` is one of `LOG_LEVELS`."""

    level: str = "info"

    def detail(self, line: str) -> None:
        """Write to stdout at level debug."""
        self._write(sys.stdout.buffer, line, level="debug")

    def info(self, line: str) -> None:
        """Write to stdout."""
        self._write(sys.stdout.buffer, line, level="info")

    def warning(self, line: str) -> None:
        """Write to stderr."""
        self._write(sys.stderr.buffer, line, level="warn")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Write `title` to stdout when it begins."""
        self.info(title)
        yield

    def _write(self, stream: BinaryIO, line: str, *, level: str) -> None:
        if LOG_LEVELS.index(level) >= LOG_LEVELS.index(self.level):
            stream.write(f"{line}\n".encode("utf-8", "backslashreplace"))
            stream.flush()
