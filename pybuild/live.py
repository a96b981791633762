"""Live progress on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from pybuild.display import Running, leave_without_reader


class LiveDisplay:
    """Lines in colours and, with `is_live`, below them a line with what is under way."""

    def __init__(self, console: Console, *, is_live: bool) -> None:
        self._console = console
        self._spinner = Spinner("dots")
        self._running: Sequence[Running] = ()
        self.is_live = is_live

    @classmethod
    def on(cls, stream: TextIO, *, color: bool, live: bool) -> LiveDisplay:
        """Return the display on a stream."""
        console = Console(file=stream, highlight=False, soft_wrap=True, no_color=not color, emoji=False, markup=False)
        return cls(console, is_live=live and console.is_terminal and not console.is_dumb_terminal)

    def print(self, line: str, style: str) -> None:
        """Show a line above what is under way."""
        try:
            self._console.print(Text(line, style=style))
        except (BrokenPipeError, SystemExit):
            # rich ends the program as well, with the code of a bug.
            leave_without_reader(self._console.file)

    @contextlib.contextmanager
    def follow(self, running: Sequence[Running]) -> Iterator[None]:
        """Show what is under way until the context ends."""
        self._running = running
        with (
            Live(self, console=self._console, transient=True, refresh_per_second=8)
            if self.is_live
            else contextlib.nullcontext()
        ):
            yield

    def __rich__(self) -> RenderableType:
        if not self._running:
            return Text("")
        shown = " · ".join(str(running) for running in self._running)
        self._spinner.update(text=Text(shown, style="bold"))
        return self._spinner
