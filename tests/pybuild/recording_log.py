"""A real log for tests: keeps what it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class RecordingLog:
    """Lines in the order they came, each with its kind in front."""

    lines: list[str] = field(default_factory=list)

    def info(self, line: str) -> None:
        self.lines.append(f"info {line}")

    def detail(self, line: str) -> None:
        self.lines.append(f"detail {line}")

    def notice(self, line: str) -> None:
        self.lines.append(f"notice {line}")

    def warning(self, line: str) -> None:
        self.lines.append(f"warning {line}")

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.lines.append(f"step {title}")
        yield

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], object]]:
        done: list[int] = []
        yield done.append
        self.lines.append(f"progress {title}: {sum(done)} of {total}")

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.lines.append(f"phase {name}")
        yield
