"""Programs that run side by side, and end together when one of them fails or the user interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from lifecycle.cnb.command import CommandNotStarted, CommandResult, CommandTimeout
from lifecycle.cnb.deadline import NEVER, Deadline
from pybuild.machine import machine_env

Result = TypeVar("Result")
_TAIL_LINES = 200
_GRACE_S = 5.0
_POLL_S = 0.1


class Crew:
    """Starts programs from several threads and can end all of them; `run_command` is for one program at a time.

    `env` is the machine's environment, for programs that need it: that of the process where it is not said.
    """

    def __init__(self, deadline: Deadline = NEVER, *, env: Mapping[str, str] | None = None) -> None:
        self.deadline = deadline
        self.env = machine_env(env)
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._is_stopped = False

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> CommandResult:
        """How `argv` ended; `output` is the tail of what it wrote. Raises `CommandNotStarted` and `CrewStopped`."""
        process = self._start(argv, env, cwd)
        tail: list[str] = []
        try:
            assert process.stdout is not None  # noqa: S101 - Popen with PIPE always has it
            with process.stdout:
                for line in process.stdout:
                    tail = [*tail[-_TAIL_LINES:], line]
                    if on_line is not None:
                        on_line(line.rstrip("\n"))
            status = process.wait()
        finally:
            _end_group(process)
            with self._lock:
                self._processes.discard(process)
        if self._is_stopped:
            raise CrewStopped
        return CommandResult(status=status if status >= 0 else 128 - status, output="".join(tail))

    def stop(self) -> None:
        """End every program that runs, with all it started, and start no more."""
        with self._lock:
            self._is_stopped = True
            running = list(self._processes)
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            # The thread that started it reaps it; a program that does not obey is killed.
            if not _ends_within(process, _GRACE_S):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> subprocess.Popen[str]:
        with self._lock:
            if self._is_stopped:
                raise CrewStopped
            try:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as err:
                raise CommandNotStarted(argv=tuple(argv), reason=err.strerror or str(err)) from err
            self._processes.add(process)
            return process


class CrewStopped(Exception):
    """The crew was stopped because another member failed; what that raised is the error to show."""


def run_side_by_side(crew: Crew, tasks: Sequence[Callable[[], Result]]) -> tuple[Result, ...]:
    """Results of `tasks`, which run at the same time, in their order.

    The first error, or Ctrl-C, stops the programs of `crew`; it is raised when every task has ended.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(tasks)), thread_name_prefix="builder") as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            done = _wait_for_first_error(futures, crew.deadline)
        except BaseException:
            crew.stop()
            raise
        failed = [future for future in done if future.exception() is not None]
        if failed:
            crew.stop()
            wait(futures)
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    for error in errors:
        if not isinstance(error, CrewStopped):
            raise error
    return tuple(future.result() for future in futures)


def _wait_for_first_error(futures: Sequence[Future[Result]], deadline: Deadline) -> set[Future[Result]]:
    """Those that have ended, when one has failed or all have ended. Raises `CommandTimeout`."""
    while True:
        done, others = wait(futures, timeout=_POLL_S, return_when=FIRST_EXCEPTION)
        if not others or any(future.exception() is not None for future in done):
            return done
        if deadline.has_passed():
            raise CommandTimeout(argv=("builder",), elapsed_s=0, output="")


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_group(process: subprocess.Popen[str]) -> None:
    # Also what the program left behind in its group: the group's id is its leader's as long as a member lives.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
