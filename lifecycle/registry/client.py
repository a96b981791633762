"""Asks registries on a machine's behalf: what their repositories have in common, connections, tokens, time, waiting and interruption."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.reference import Reference
from lifecycle.registry.credentials import Found
from lifecycle.registry.repository import Repository
from lifecycle.registry.settings import RegistrySettings


def _say_nothing(_: str) -> None:
    """For who is not interested."""


class Interrupted(Exception):
    """Nobody waits for the answer any more."""


class RegistryClient:
    """Asks registries on this machine's behalf. Safe for several threads; keeps connections and tokens between questions.

    `find_login` says what credentials there are. `sleep` returns at once when the event is set that it gets.
    """

    def __init__(
        self,
        *,
        settings: RegistrySettings,
        find_login: Callable[[Reference], Found],
        deadline: Deadline = NEVER,
        sleep: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        from lifecycle.registry.http import Http  # says why not before

        self.on_wait: Callable[[str], object] = _say_nothing
        """Gets a line when there is a longer wait for a registry."""
        self.retries = 0
        """How often something was asked again that had failed."""
        self._settings = settings
        self._find_login = find_login
        self._deadline = deadline
        self._sleep = sleep
        self._interrupted = threading.Event()
        self._http = Http(settings)
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()
        # Whoever waits for an answer then need not wait for it to come.
        self._listening = contextlib.ExitStack()
        self._listening.enter_context(deadline.ending(self._end))

    def repository(self, reference: Reference) -> Repository:
        """Return the repository that `reference` names."""
        with self._lock:
            if reference.name not in self._repositories:
                self._repositories[reference.name] = Repository(
                    reference, self._settings, self._http, self._find_login(reference), self.wait
                )
            return self._repositories[reference.name]

    def wait(self, seconds: float, reason: str) -> None:
        """Wait, and say why. Raises what `pause` raises."""
        self.check_time(seconds)
        self.on_wait(f"{reason}; trying again in {seconds:.0f} seconds")
        with self._lock:
            self.retries += 1
        self.pause(seconds)

    def pause(self, seconds: float) -> None:
        """Wait. Raises `CommandTimeout` when the deadline comes first, `Interrupted`."""
        self.check_time(seconds)
        self._sleep(self._interrupted, seconds)
        self.check_time(0)

    def check_time(self, seconds: float) -> None:
        """Raise `CommandTimeout` when the deadline comes within so many seconds, `Interrupted` when nobody waits any more."""
        if self._deadline.left_s() <= seconds:
            raise CommandTimeout(argv=("registry",), elapsed_s=0, output="")
        if self._interrupted.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def interrupted(self) -> Iterator[None]:
        """Whatever other threads are asking or waiting for ends at once, as long as the context lasts."""
        self._interrupted.set()
        self._http.interrupt()
        try:
            yield
        finally:
            self._interrupted.clear()

    def forget_deadline(self) -> None:
        """Let what is asked from now on come to its end, however late it is: what half of the outputs have, the others get."""
        self._listening.close()
        self._deadline = NEVER

    def close(self) -> None:
        """Close all connections."""
        self._listening.close()
        self._http.close()

    def _end(self) -> None:
        """Whatever is asked or waited for ends at once, and what is asked from now on."""
        self._interrupted.set()
        self._http.end()
