"""Events on standard error: live progress on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from enum import IntEnum

from pybuild.display import Display, PlainDisplay, Running
from pybuild.events import (
    Event,
    Level,
    LogLine,
    PhaseEnded,
    PhaseStarted,
    Progress,
    StepEnded,
    StepStarted,
)

# A shorter step is not worth a line of its own.
_WORTH_SAYING_S = 1.0
# What says that standard error is as good as a terminal: https://force-color.org, https://rich.readthedocs.io/en/stable/console.html
_AS_TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE")


class Verbosity(IntEnum):
    """How much the log shows."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def open_terminal(verbosity: Verbosity, env: Mapping[str, str]) -> Terminal:
    """What shows events on standard error, in a way that fits what standard error is, and what `env`, of this process, says of it."""
    display: Display = PlainDisplay(sys.stderr)
    if sys.stderr.isatty() or any(env.get(name) for name in _AS_TERMINAL):
        from pybuild.live import LiveDisplay  # rich takes longer to load than many a command to run

        display = LiveDisplay.on(sys.stderr, color=not env.get("NO_COLOR"), live=verbosity > Verbosity.QUIET)
    return Terminal(display=display, verbosity=verbosity)


class Terminal:
    """Shows events on a display, one at a time."""

    def __init__(self, *, display: Display, verbosity: Verbosity) -> None:
        self._display = display
        self._verbosity = verbosity
        self._following = contextlib.ExitStack()
        # Phases by their name, steps by their number
        self._running: dict[str | int, Running] = {}
        self._shown: list[Running] = []

    def show(self, event: Event) -> None:
        """Show what the event says, as far as the verbosity wants it."""
        match event:
            case LogLine():
                self._show_line(event)
            case PhaseStarted():
                self._print(f"===> {event.name.upper()}", Verbosity.NORMAL, style="bold")
                self._begin(event.name, Running(event.name.upper(), time.monotonic()))
            case PhaseEnded():
                self._end(event.name)
                if event.succeeded:
                    self._print(f"{event.name.upper()} took {event.seconds:.2f} s", Verbosity.VERBOSE, style="dim")
            case StepStarted():
                if not self._display.is_live:
                    self._print(f"{event.title} ...", Verbosity.NORMAL)
                self._begin(event.number, Running(event.title, time.monotonic(), event.total))
            case Progress():
                self._running[event.number].done = event.done
            case StepEnded():
                self._end(event.number)
                if event.succeeded and (event.seconds >= _WORTH_SAYING_S or self._display.is_live):
                    self._print(f"{event.title}: {event.seconds:.1f} s", Verbosity.NORMAL)

    def _show_line(self, line: LogLine) -> None:
        match line.level:
            case Level.DETAIL:
                self._print(line.text, Verbosity.VERBOSE, style="dim")
            case Level.INFO:
                self._print(line.text, Verbosity.NORMAL)
            case Level.NOTICE:
                self._print(f"notice: {line.text}", Verbosity.NORMAL, style="cyan")
            case Level.WARNING:
                self._print(f"warning: {line.text}", Verbosity.QUIET, style="yellow")

    def _begin(self, key: str | int, running: Running) -> None:
        self._running[key] = running
        self._shown.append(running)
        if len(self._shown) == 1:
            # The first shows all that are under way with it.
            self._following.enter_context(self._display.follow(self._shown))

    def _end(self, key: str | int) -> None:
        self._shown.remove(self._running.pop(key))
        if not self._shown:
            self._following.close()

    def _print(self, line: str, least: Verbosity, style: str = "") -> None:
        if self._verbosity >= least:
            self._display.print(line, style)
