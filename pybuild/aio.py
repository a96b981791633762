"""`pybuild` for asyncio: the same functions, each in a thread of its own, so that the event loop goes on.

Events come in the event loop's thread. A task that is cancelled cancels the work, and ends when that has ended: no process is left then,
and no output touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from lifecycle.cnb.deadline import Cancellation
from lifecycle.detection import Detection
from pybuild import library
from pybuild.events import Event, OnEvent, ignore_event
from pybuild.report import BuildReport, IndexReport
from pybuild.request import BuildRequest

Result = TypeVar("Result")
# What the functions of the library have in common, with an `on_event` and a `cancellation` still to be given
_Work = Callable[[OnEvent, Cancellation], Result]


async def build(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> BuildReport:
    """What `pybuild.build` gives, raised or returned; a task that is cancelled cancels the work, and waits for its end.

    `on_event` gets what happens, in the event loop's thread. `store` is the directory of what is kept, by default
    `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.
    """
    return await _run(
        lambda tell, cancellation: library.build(
            request, on_event=tell, cancellation=cancellation, store=store, host_env=host_env
        ),
        on_event,
    )


async def build_index(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> IndexReport:
    """What `pybuild.build_index` gives, raised or returned; a task that is cancelled cancels the work, and waits for its end.

    `on_event` gets what happens, in the event loop's thread. `store` is the directory of what is kept, by default
    `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.
    """
    return await _run(
        lambda tell, cancellation: library.build_index(
            request, on_event=tell, cancellation=cancellation, store=store, host_env=host_env
        ),
        on_event,
    )


async def detect(
    request: BuildRequest,
    *,
    on_event: OnEvent = ignore_event,
    store: Path | None = None,
    host_env: Mapping[str, str] | None = None,
) -> Detection:
    """What `pybuild.detect` gives, raised or returned; a task that is cancelled cancels the work, and waits for its end.

    `on_event` gets what happens, in the event loop's thread. `store` is the directory of what is kept, by default
    `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.
    """
    return await _run(
        lambda tell, cancellation: library.detect(
            request, on_event=tell, cancellation=cancellation, store=store, host_env=host_env
        ),
        on_event,
    )


async def stream(
    request: BuildRequest, *, store: Path | None = None, host_env: Mapping[str, str] | None = None
) -> AsyncGenerator[Event | BuildReport, None]:
    """The events of a build as they come, and at last its report. Raises what `build` raises.

    Who leaves it before its end closes it (`contextlib.aclosing`), which cancels the build and waits for its end.

    `store` is the directory of what is kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by
    default those of this process.
    """
    said: asyncio.Queue[Event | None] = asyncio.Queue()
    task = asyncio.ensure_future(build(request, on_event=said.put_nowait, store=store, host_env=host_env))
    task.add_done_callback(lambda _: said.put_nowait(None))
    try:
        while (event := await said.get()) is not None:
            yield event
        yield await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def _run(work: _Work[Result], on_event: OnEvent) -> Result:
    loop, cancellation = asyncio.get_running_loop(), Cancellation()
    done: asyncio.Future[Result] = loop.create_future()
    failures: list[Exception] = []
    # Of the task, for whoever hears its events; the thread has one of its own, as `asyncio.to_thread` gives one.
    context = contextvars.copy_context()

    def hear(event: Event) -> None:
        if failures:
            return
        try:
            on_event(event)
        except Exception as err:  # raised below, when the work has ended
            failures.append(err)
            cancellation.cancel()

    def run() -> None:
        try:
            result = work(lambda event: loop.call_soon_threadsafe(hear, event, context=context), cancellation)
        except BaseException as err:  # raised by who waits for it
            loop.call_soon_threadsafe(done.set_exception, err)
        else:
            loop.call_soon_threadsafe(done.set_result, result)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="pybuild").start()
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as err:
            cancellation.cancel()
            cancelled = err
    if cancelled is not None:
        # Whether it was too late for that, nobody waits to hear.
        done.exception()
        raise cancelled
    if failures:
        done.exception()
        raise failures[0]
    return done.result()
