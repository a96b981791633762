"""Running a program: streamed, bounded in memory, and ended with everything it started when time is up.

Nothing here reads the terminal or the caller's environment; the program gets exactly `env`, no inherited descriptor above 2
that it was not given, and a session of its own (so it cannot push characters into the caller's terminal).
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.errors import CnbError

_TAIL_LIMIT = 1024 * 1024
# A "line" without an end is cut here, so that no program can fill the memory with one.
_LINE_LIMIT = 64 * 1024
_TERMINATION_GRACE_S = 5.0
# How long output may still arrive after the program has ended: `exec > >(sed …)` in a shell script needs a moment,
# a daemon that inherited the pipe would hold it for ever.
_DRAIN_GRACE_S = 1.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a program ended. `status` is its exit status, 128+N when signal N ended it; `output` the last MiB it wrote."""

    status: int
    output: str


class CommandError(CnbError):
    """A program gave no exit status at all."""


@dataclass(eq=False, kw_only=True)
class CommandNotStarted(CommandError):
    """The system could not start the program."""

    argv: tuple[str, ...]
    reason: str

    @property
    def summary(self) -> str:
        """Which program, and what the system said."""
        return f"`{self.argv[0]}` could not be started: {self.reason}"


@dataclass(eq=False, kw_only=True)
class CommandTimeout(CommandError):
    """The deadline passed, or somebody cancelled the work; the program and its process group were killed."""

    argv: tuple[str, ...]
    elapsed_s: float
    output: str = field(repr=False)

    @property
    def summary(self) -> str:
        """Which program, after how long."""
        return f"`{self.argv[0]}` was stopped after {self.elapsed_s:.0f} seconds: its time was up"


def require_time(deadline: Deadline, work: str) -> None:
    """Raise `CommandTimeout` where `work`, which this process does itself, has to end."""
    if deadline.has_passed():
        raise CommandTimeout(argv=(work,), elapsed_s=0, output="")


def run_command(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    deadline: Deadline = NEVER,
    stdin: bytes | int | None = None,
    descriptors: Sequence[int] = (),
    on_start: Callable[[], None] | None = None,
) -> CommandResult:
    """Return how `argv` ended. Its stdout and stderr are one stream, given to `on_line` line by line as it comes.

    `stdin` is what the program reads, or a descriptor of it; without it there is nothing to read. The program inherits `descriptors`
    under their numbers. `on_start` is called when it runs, before anything is read of it. Raises `CommandNotStarted` and
    `CommandTimeout`; whatever else ends the wait (Ctrl-C, an error in `on_line`) is raised after the process group is dead.
    """
    started = time.monotonic()
    process = _start(argv, env=env, cwd=cwd, stdin=stdin, descriptors=descriptors)
    reader = _Reader(on_line)
    try:
        if on_start is not None:
            on_start()
        if not _follow(process, reader, deadline):
            _kill_group(process, reader)
            reader.finish()
            raise CommandTimeout(argv=tuple(argv), elapsed_s=time.monotonic() - started, output=reader.tail())
        reader.finish()
    except CommandTimeout:
        raise
    except BaseException:
        _kill_group(process, None)
        raise
    finally:
        assert process.stdout is not None  # noqa: S101 - Popen with PIPE always has it
        process.stdout.close()
    status = process.returncode
    return CommandResult(status=status if status >= 0 else 128 - status, output=reader.tail())


def _start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    stdin: bytes | int | None,
    descriptors: Sequence[int],
) -> subprocess.Popen[bytes]:
    with tempfile.TemporaryFile() if isinstance(stdin, bytes) else open(os.devnull, "rb") as source:  # noqa: PTH123 - a device
        if isinstance(stdin, bytes):
            # A file, not a pipe: a program that does not read its input cannot block us.
            source.write(stdin)
            source.seek(0)
        try:
            return subprocess.Popen(
                list(argv),
                stdin=stdin if isinstance(stdin, int) else source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                bufsize=0,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as err:
            raise CommandNotStarted(argv=tuple(argv), reason=err.strerror or str(err)) from err
        except ValueError as err:  # a NUL byte in an argument or a variable
            raise CommandNotStarted(argv=tuple(argv), reason=str(err)) from err


class _Reader:
    """Cuts a byte stream into lines for `on_line` and keeps its tail."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._pending = b""
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > 2 * _TAIL_LIMIT:
            del self._tail[:-_TAIL_LIMIT]
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._pending) > _LINE_LIMIT:
            self.finish()

    def finish(self) -> None:
        if self._pending:
            self._emit(self._pending)
            self._pending = b""

    def tail(self) -> str:
        return self._tail[-_TAIL_LIMIT:].decode("utf-8", "replace")

    def _emit(self, line: bytes) -> None:
        if self._on_line is not None:
            self._on_line(line.decode("utf-8", "replace").removesuffix("\r"))


def _follow(process: subprocess.Popen[bytes], reader: _Reader, deadline: Deadline) -> bool:
    """Return whether the process ended by itself; feed the reader until then."""
    assert process.stdout is not None  # noqa: S101 - Popen with PIPE always has it
    os.set_blocking(process.stdout.fileno(), False)
    stop_draining: float | None = None
    open_pipe = True
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while open_pipe or process.poll() is None:
            now = time.monotonic()
            if deadline.has_passed():
                return process.poll() is not None
            if process.poll() is not None:
                stop_draining = stop_draining or now + _DRAIN_GRACE_S
                if now >= stop_draining:
                    return True
            limits = [deadline.left_s(), *([] if stop_draining is None else [stop_draining - now])]
            if not open_pipe:
                _wait_briefly(process)
            elif selector.select(min([_POLL_S, *limits])):
                data = _read_available(process.stdout.fileno())
                if data == b"":
                    selector.unregister(process.stdout)
                    open_pipe = False
                elif data is not None:
                    reader.feed(data)
    return True


def _read_available(descriptor: int) -> bytes | None:
    """Return what there is: `b""` at the end of the stream, `None` when there is nothing now."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def _wait_briefly(process: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_POLL_S)


def _kill_group(process: subprocess.Popen[bytes], reader: _Reader | None) -> None:
    """End the whole process group: TERM, a grace, KILL. A second Ctrl-C during the grace cuts it short."""
    try:
        _signal_group(process, signal.SIGTERM)
        if reader is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TERMINATION_GRACE_S)
        else:
            # The pipe is drained meanwhile: a program may block on it while it cleans up.
            _follow(process, reader, Deadline.after(_TERMINATION_GRACE_S))
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The group may outlive its leader; the leader's id is the group's as long as a member is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
