"""Several transfers at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from lifecycle.registry.client import RegistryClient

_TRANSFERS = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def run_all(
    client: RegistryClient, transfer: Callable[[_Item], _Result], items: Sequence[_Item]
) -> tuple[_Result, ...]:
    """Return what `transfer` returns for each of `items`. The first that fails ends the others; raises what it raised."""
    if not items:
        return ()
    with ThreadPoolExecutor(_TRANSFERS) as pool:
        tasks = [pool.submit(transfer, item) for item in items]
        try:
            done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
        except BaseException:
            for task in tasks:
                task.cancel()
            with client.interrupted():
                wait(tasks)
            raise
        return tuple(task.result() for task in tasks)
