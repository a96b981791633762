"""Several transfers at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
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
        try:
            for item in items:
                tasks.append(pool.submit(transfer, item))
            pending = set(tasks)
            while pending:
                # A signal that comes at the moment when a wait begins is heard only after it.
                done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_EXCEPTION)
                for task in done:
                    task.result()
        except BaseException:
            for task in tasks:
                task.cancel()
            end_all(client, tasks)
            raise
        return tuple(task.result() for task in tasks)


def end_all(client: RegistryClient, tasks: Collection[Future[_Result]]) -> None:
    """Return when `tasks` have ended, which ask `client`: whatever they wait for ends at once."""
    while True:
        # Again and again: an exchange that just begins is not ended by what ends those that there are.
        with client.interrupted():
            if not wait(tasks, timeout=_POLL_S).not_done:
                return
