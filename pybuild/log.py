"""Where the platform says what it does: the `Log` protocol that every part of `pybuild` takes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Log(Protocol):
    """Receives what a person should see while pybuild works. Lines carry no newline and no control characters."""

    def info(self, line: str) -> None:
        """Show an ordinary line."""

    def detail(self, line: str) -> None:
        """Show a line that only `--verbose` asks for."""

    def notice(self, line: str) -> None:
        """Show something the user should know although nothing is wrong."""

    def warning(self, line: str) -> None:
        """Show something that is likely to hurt."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Show that `title` is under way until the context ends; then its seconds."""

    def progress(self, title: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
        """As `step`, of `total` bytes; what the context gives is told how many more are done, by any thread."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Show that the phase `name` of the build runs until the context ends; then its seconds."""
