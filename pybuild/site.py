"""Where work takes place: the store, what the machine says, who hears of it and who may end it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.cnb.errors import CnbError
from pybuild.clock import Clock
from pybuild.errors import Cancelled, machine_error_of
from pybuild.events import Event, EventLog, OnEvent
from pybuild.log import Log
from pybuild.machine import home_directory, machine_env
from pybuild.store import store_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where work takes place: what this machine keeps and says, and who listens."""

    store: Path
    host_env: Mapping[str, str]
    """The machine's environment."""
    log: Log
    cancellation: Cancellation | None = None
    """Ends the work."""

    @property
    def deadline(self) -> Deadline:
        """When work without a time limit has to end."""
        return Deadline(cancellation=self.cancellation)

    def open_clock(self, limit_s: float) -> Clock:
        """The time of a build."""
        return Clock(log=self.log, limit_s=limit_s, cancellation=self.cancellation)


@contextlib.contextmanager
def open_site(
    on_event: OnEvent, cancellation: Cancellation | None, store: Path | None, host_env: Mapping[str, str] | None
) -> Iterator[Site]:
    """Where the work of a function of the library takes place, of which these are parameters.

    Raises:
        Cancelled: what ended the work did because it was cancelled.
        CnbError: the machine lacks something, instead of the `OSError` that says so.
        Exception: what `on_event` raised, the first time.
    """
    listener, env = _Listener(on_event), machine_env(host_env)
    site = Site(
        store=store or store_directory(env, home_directory(env)),
        host_env=env,
        log=EventLog(listener),
        cancellation=cancellation,
    )
    try:
        yield site
    except _Unheard:
        pass
    except Cancelled:
        raise
    except (CnbError, OSError) as err:
        # Whatever fails from there on may fail because of it.
        if cancellation is not None and cancellation.is_cancelled:
            raise Cancelled from err
        known = machine_error_of(err) if isinstance(err, OSError) else None
        if known is None:
            raise
        raise known from err
    if listener.failure is not None:
        raise listener.failure


class _Unheard(Exception):
    """Ends the work. What the listener raised itself could be what the work knows how to go on after: a broken connection."""


class _Listener:
    """An `on_event` that is not called again when it has raised something."""

    def __init__(self, on_event: OnEvent) -> None:
        self.failure: Exception | None = None
        self._on_event = on_event

    def __call__(self, event: Event) -> None:
        if self.failure is not None:
            # What has to be put in order at the end of the work says something as well.
            return
        try:
            self._on_event(event)
        except Exception as err:  # raised by who opened the site
            self.failure = err
            raise _Unheard from err
