"""What pybuild says while it works, as values, and the log that makes them."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum

from lifecycle.cnb.errors import printable

# How often at most is said how far a step is.
_BETWEEN_PROGRESS_S = 0.1


class Level(Enum):
    """Who a line is for."""

    DETAIL = "detail"
    """Whoever looks for a cause."""
    INFO = "info"
    NOTICE = "notice"
    """Something the user should know although nothing is wrong."""
    WARNING = "warning"
    """Something that is likely to hurt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line without a newline or other control characters."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    """A phase begins, such as `detect`. One runs at a time; those of `docs/architecture.md`, in running order."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded:
    """The phase is over; `succeeded`: not by an error."""

    name: str
    seconds: float
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """Something that takes its time begins. `number` tells it from others that run beside it; `total` is in bytes, where it is known."""

    number: int
    title: str
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the step `number` is, in bytes; said ten times a second at most."""

    number: int
    title: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """The step `number` is over; `succeeded`: not by an error."""

    number: int
    title: str
    seconds: float
    succeeded: bool


Event = LogLine | PhaseStarted | PhaseEnded | StepStarted | Progress | StepEnded
OnEvent = Callable[[Event], object]


def event_to_json(event: Event) -> Mapping[str, object]:
    """The fields of an event, and the name of its class as `event`."""
    values = {name: value.value if isinstance(value, Level) else value for name, value in asdict(event).items()}
    return {"event": type(event).__name__, **values}


def ignore_event(event: Event) -> None:
    """For who is not interested."""


def last_state(line: str) -> str:
    """Of a line that a program redrew, what stands last; everything that a terminal would obey is made visible."""
    return printable(line.rstrip("\r\n").rsplit("\r", 1)[-1])


class EventLog:
    """A `pybuild.log.Log` that gives `on_event` one event after the other, whichever threads they come from.

    What `on_event` raises ends the work that was to be told of.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def info(self, line: str) -> None:
        """Tell of an ordinary line."""
        self._say(Level.INFO, line)

    def detail(self, line: str) -> None:
        """Tell of a line that helps to find a cause."""
        self._say(Level.DETAIL, line)

    def notice(self, line: str) -> None:
        """Tell of something that the user should know although nothing is wrong."""
        self._say(Level.NOTICE, line)

    def warning(self, line: str) -> None:
        """Tell of something that is likely to hurt."""
        self._say(Level.WARNING, line)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tell that `title` is under way until the context ends."""
        with self._step(title, None):
            yield

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], object]]:
        """As `step`, of `total` bytes; what the context gives is told how many more are done, by any thread."""
        lock = threading.Lock()
        done, told = 0, 0.0

        def add(count: int) -> None:
            nonlocal done, told
            with lock:
                done += count
                now = time.monotonic()
                if now - told >= _BETWEEN_PROGRESS_S or done >= total:
                    told = now
                    self._tell(Progress(number=number, title=title, done=done, total=total))

        title = last_state(title)
        with self._step(title, total) as number:
            yield add

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell that the phase `name` runs until the context ends."""
        self._tell(PhaseStarted(name=name))
        with _timed(lambda seconds, ok: self._tell(PhaseEnded(name=name, seconds=seconds, succeeded=ok))):
            yield

    @contextlib.contextmanager
    def _step(self, title: str, total: int | None) -> Iterator[int]:
        number, title = next(self._numbers), last_state(title)
        self._tell(StepStarted(number=number, title=title, total=total))
        with _timed(
            lambda seconds, ok: self._tell(StepEnded(number=number, title=title, seconds=seconds, succeeded=ok))
        ):
            yield number

    def _say(self, level: Level, line: str) -> None:
        self._tell(LogLine(level=level, text=last_state(line)))

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._on_event(event)


@contextlib.contextmanager
def _timed(when_over: Callable[[float, bool], object]) -> Iterator[None]:
    since = time.monotonic()
    try:
        yield
    except BaseException:
        when_over(time.monotonic() - since, False)  # noqa: FBT003 - of a lambda
        raise
    when_over(time.monotonic() - since, True)  # noqa: FBT003 - as above
