"""Where lines and what is under way are shown: plain lines here, live progress in `pybuild.live`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, NoReturn, Protocol, TextIO


def leave_without_reader(stream: IO[str]) -> NoReturn:
    """End the program, because nobody reads `stream` any more."""
    # Nothing can be told there, not even by a late flush.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(128 + signal.SIGPIPE)


@dataclass(slots=True, eq=False)
class Running:
    """What is under way, as the live line shows it."""

    title: str
    since: float
    total: int | None = None
    """Bytes."""
    done: int = 0

    def __str__(self) -> str:
        amount = "" if self.total is None else f" {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB"
        return f"{self.title}{amount} {time.monotonic() - self.since:.0f} s"


class Display(Protocol):
    """Where lines go."""

    is_live: bool
    """Whether it shows what is under way."""

    def print(self, line: str, style: str) -> None:
        """Show a line, in a style that rich knows where there are styles."""

    def follow(self, running: Sequence[Running]) -> AbstractContextManager[None]:
        """Show what is under way until the context ends; the sequence changes meanwhile."""


class PlainDisplay:
    """Lines and nothing else."""

    is_live = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def print(self, line: str, style: str) -> None:  # noqa: ARG002  # there are none
        """Write a line, at once and in one piece."""
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except BrokenPipeError:
            leave_without_reader(self._stream)

    def follow(self, running: Sequence[Running]) -> AbstractContextManager[None]:  # noqa: ARG002  # it is not shown
        """Show nothing."""
        return contextlib.nullcontext()
