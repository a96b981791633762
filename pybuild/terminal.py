"""Logs on standard error: live progress on a terminal (`pybuild.live`), plain lines everywhere else."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import IO, NoReturn, Protocol, TextIO

from lifecycle.cnb.errors import printable

# A shorter step is not worth a line of its own.
_WORTH_SAYING_S = 1.0
# What says that standard error is as good as a terminal: https://force-color.org, https://rich.readthedocs.io/en/stable/console.html
_AS_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE")


class Verbosity(IntEnum):
    """How much the log shows."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def last_state(line: str) -> str:
    """Of a line that a program redrew, what stands last; everything that a terminal would obey is made visible."""
    return printable(line.rstrip("\r\n").rsplit("\r", 1)[-1])


def leave_without_reader(stream: IO[str]) -> NoReturn:
    """End the program, because nobody reads `stream` any more."""
    # Nothing can be told there, not even by a late flush.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(128 + signal.SIGPIPE)


def open_log(verbosity: Verbosity, *, color: bool) -> TerminalLog:
    """A log on standard error that fits what standard error is."""
    display: Display = PlainDisplay(sys.stderr)
    if sys.stderr.isatty() or any(os.environ.get(name) for name in _AS_TERMINAL):
        from pybuild.live import LiveDisplay  # rich takes longer to load than many a command to run

        display = LiveDisplay.on(sys.stderr, color=color, live=verbosity > Verbosity.QUIET)
    return TerminalLog(display=display, verbosity=verbosity)


@dataclass(slots=True)
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
    """Where the lines of a log go."""

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


class TerminalLog:
    """A `pybuild.log.Log` on a display."""

    def __init__(self, *, display: Display, verbosity: Verbosity) -> None:
        self._display = display
        self._verbosity = verbosity
        self._running: list[Running] = []

    def info(self, line: str) -> None:
        """Show an ordinary line."""
        self._print(line, Verbosity.NORMAL)

    def detail(self, line: str) -> None:
        """Show a line that only `--verbose` asks for."""
        self._print(line, Verbosity.VERBOSE, style="dim")

    def notice(self, line: str) -> None:
        """Show something the user should know although nothing is wrong."""
        self._print(f"notice: {line}", Verbosity.NORMAL, style="cyan")

    def warning(self, line: str) -> None:
        """Show something that is likely to hurt, also with `--quiet`."""
        self._print(f"warning: {line}", Verbosity.QUIET, style="yellow")

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that `title` is under way until the context ends; then its seconds."""
        with self._step(title, None):
            yield

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], object]]:
        """As `step`, of `total` bytes; what the context gives is told how many more are done, by any thread."""
        lock = threading.Lock()

        def add(count: int) -> None:
            with lock:
                running.done += count

        with self._step(title, total) as running:
            yield add

    @contextlib.contextmanager
    def _step(self, title: str, total: int | None) -> Iterator[Running]:
        if not self._display.is_live:
            self.info(f"{title} ...")
        with self._show(title, total) as running:
            yield running
        seconds = time.monotonic() - running.since
        if seconds >= _WORTH_SAYING_S or self._display.is_live:
            self.info(f"{title}: {seconds:.1f} s")

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that the phase `name` of the build runs until the context ends; then its seconds."""
        self._print(f"===> {name.upper()}", Verbosity.NORMAL, style="bold")
        with self._show(name.upper()) as running:
            yield
        self.detail(f"{name.upper()} took {time.monotonic() - running.since:.2f} s")

    @contextlib.contextmanager
    def _show(self, title: str, total: int | None = None) -> Iterator[Running]:
        running = Running(title, time.monotonic(), total)
        self._running.append(running)
        try:
            # The first shows all that are under way with it.
            following = self._display.follow(self._running) if len(self._running) == 1 else contextlib.nullcontext()
            with following:
                yield running
        finally:
            self._running.remove(running)

    def _print(self, line: str, least: Verbosity, style: str = "") -> None:
        if self._verbosity >= least:
            self._display.print(last_state(line), style)
