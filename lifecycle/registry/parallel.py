"""Several transfers at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from typing import TypeVar

from lifecycle.registry.client import RegistryClient

_TRANSFERS = 4
_POLL_S = 0.1

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_all(
    client: RegistryClient, transfer: Callable[[_Item], _Result], items: Sequence[_Item]
) -> tuple[_Result, ...]:
    """Return what `transfer` returns for each of `items`. The first that fails ends the others; raises what it raised."""
    with ThreadPoolExecutor(_TRANSFERS) as pool:
        tasks: list[Future[_Result]] = []
        # Not `wait`: an exception of a signal in the midst of it leaves a task locked.
        ended: SimpleQueue[Future[_Result]] = SimpleQueue()
        try:
            for item in items:
                tasks.append(pool.submit(transfer, item))
                tasks[-1].add_done_callback(ended.put)
            for _ in tasks:
                _next(ended).result()
        except BaseException:
            for task in tasks:
                task.cancel()
            end_all(client, tasks)
            raise
        return tuple(task.result() for task in tasks)


def _next(ended: SimpleQueue[Future[_Result]]) -> Future[_Result]:
    while True:
        # A signal that comes at the moment when the waiting begins is heard only after it.
        with contextlib.suppress(Empty):
            return ended.get(timeout=_POLL_S)


def end_all(client: RegistryClient, tasks: Collection[Future[_Result]]) -> None:
    """Return when `tasks` have ended, which ask `client`: whatever they wait for ends at once."""
    while True:
        # Again and again: an exchange that just begins is not ended by what ends those that there are.
        with client.interrupted():
            if not wait(tasks, timeout=_POLL_S).not_done:
                return
