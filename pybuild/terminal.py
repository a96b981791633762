"""Logs on standard error: live progress on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from lifecycle.cnb.errors import printable

# A shorter step is not worth a line of its own.
_WORTH_SAYING_S = 1.0


class Verbosity(IntEnum):
    """How much the log shows."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def last_state(line: str) -> str:
    """Of a line that a program redrew, what stands last; everything that a terminal would obey is made visible."""
    return printable(line.rstrip("\r\n").rsplit("\r", 1)[-1])


def leave_without_reader(stream: TextIO) -> NoReturn:
    """End the program, because nobody reads `stream` any more."""
    # Nothing can be told there, not even by a late flush.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(128 + signal.SIGPIPE)


def open_log(verbosity: Verbosity, *, color: bool) -> TerminalLog:
    """A log on standard error that fits what standard error is."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True, no_color=not color, emoji=False, markup=False)
    live = console.is_terminal and verbosity > Verbosity.QUIET and not console.is_dumb_terminal
    return TerminalLog(console=console, verbosity=verbosity, live=live)


@dataclass(slots=True)
class _Running:
    """What is under way, as the live line shows it."""

    title: str
    since: float
    total: int | None = None
    """Bytes."""
    done: int = 0

    def __str__(self) -> str:
        amount = "" if self.total is None else f" {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB"
        return f"{self.title}{amount} {time.monotonic() - self.since:.0f} s"


class TerminalLog:
    """A `pybuild.log.Log` that writes to a console."""

    def __init__(self, *, console: Console, verbosity: Verbosity, live: bool) -> None:
        self._console = console
        self._verbosity = verbosity
        self._is_live = live
        self._running: list[_Running] = []
        self._spinner = Spinner("dots")
        self._live: Live | None = None

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
    def _step(self, title: str, total: int | None) -> Iterator[_Running]:
        if not self._is_live:
            self.info(f"{title} ...")
        with self._show(title, total) as running:
            yield running
        seconds = time.monotonic() - running.since
        if seconds >= _WORTH_SAYING_S or self._is_live:
            self.info(f"{title}: {seconds:.1f} s")

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that the phase `name` of the build runs until the context ends; then its seconds."""
        self._print(f"===> {name.upper()}", Verbosity.NORMAL, style="bold")
        with self._show(name.upper()) as running:
            yield
        self.detail(f"{name.upper()} took {time.monotonic() - running.since:.2f} s")

    @contextlib.contextmanager
    def _show(self, title: str, total: int | None = None) -> Iterator[_Running]:
        running = _Running(title, time.monotonic(), total)
        self._running.append(running)
        try:
            if self._is_live and self._live is None:
                with Live(self, console=self._console, transient=True, refresh_per_second=8) as self._live:
                    yield running
            else:
                yield running
        finally:
            self._running.remove(running)
            if not self._running:
                self._live = None

    def __rich__(self) -> RenderableType:
        if not self._running:
            return Text("")
        shown = " · ".join(str(running) for running in self._running)
        self._spinner.update(text=Text(shown, style="bold"))
        return self._spinner

    def _print(self, line: str, least: Verbosity, style: str = "") -> None:
        if self._verbosity < least:
            return
        try:
            self._console.print(Text(last_state(line), style=style))
        except (BrokenPipeError, SystemExit):
            # rich ends the program as well, with the code of a bug.
            leave_without_reader(sys.stderr)
