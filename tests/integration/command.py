"""The `pybuild` command as a process of its own, as a person or a CI job runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FIXTURES = CHECKOUT / "fixtures"
# Longer than any build here takes on a slow machine with a cold builder.
_PATIENCE_S = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def error_lines(self) -> list[str]:
        """Lines of standard error that open an error message."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]

    @property
    def error_message(self) -> str:
        """The last error message with its facts and its hint, to the end of standard error."""
        start = self.stderr.rfind("error: ")
        return self.stderr[start:] if start >= 0 else ""


class Running:
    """A command that is under way; its standard error is collected while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._since = time.monotonic()
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._is_open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def wait_for(self, text: str, timeout_s: float = 300) -> None:
        """Return as soon as `text` stands on standard error; AssertionError when the command ends without saying it."""

        def is_said() -> bool:
            return any(text in line for line in self._lines)

        with self._changed:
            self._changed.wait_for(lambda: is_said() or not self._is_open, timeout_s)
            assert is_said(), f"`{text}` was not said:\n{''.join(self._lines)}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command's process group, as a terminal does for Ctrl-C."""
        os.killpg(self.process.pid, number)

    def finish(self, timeout_s: float = 60) -> Finished:
        """How the command ended; it is killed, and an AssertionError raised, when it does not."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"not ended after {timeout_s} s:\n{''.join(self._lines)}") from None
        seconds = time.monotonic() - self._since
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            stdout = stream.read()
        self._reader.join(10)
        assert not self._is_open, "something that the command started still holds its standard error"
        return Finished(status=status, stdout=stdout, stderr="".join(self._lines), seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pybuild:
    """The command with an environment; calling it runs it to its end."""

    env: Mapping[str, str]
    program: Sequence[str] = (sys.executable, "-m", "pybuild")
    cwd: Path = CHECKOUT
    umask: int = 0o022
    prefix: Sequence[str] = field(default=())
    """A command that runs the command, such as `setpriv`."""

    @property
    def cache_home(self) -> Path:
        """`XDG_CACHE_HOME` of the command."""
        return Path(self.env["XDG_CACHE_HOME"])

    def with_env(self, **changes: str | None) -> Pybuild:
        """The command with other environment variables; None removes one."""
        env = {name: value for name, value in {**self.env, **changes}.items() if value is not None}
        return replace(self, env=env)

    def start(self, *arguments: str | Path) -> Running:
        """The command, started in a process group of its own."""
        command = [*self.prefix, *self.program, *(str(argument) for argument in arguments)]
        process = subprocess.Popen(
            command,
            env=dict(self.env),
            cwd=self.cwd,
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return Running(process)

    def __call__(self, *arguments: str | Path, timeout_s: float = _PATIENCE_S) -> Finished:
        """How the command ended."""
        return self.start(*arguments).finish(timeout_s)


# Without bytecode each start of the command compiles all of it.
_NOT_OF_USERS = ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")


def ordinary_environment(cache_home: Path) -> dict[str, str]:
    """This process's environment without what a test run adds to it, and with `cache_home` for pybuild's store."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BP_", "CNB_", "PYBUILD_", "PYTEST_")) and name not in _NOT_OF_USERS
    }
    # The command is `python -m pybuild`; the working directory is not always the checkout.
    path = os.pathsep.join(filter(None, (str(CHECKOUT), env.get("PYTHONPATH"))))
    return {**env, "XDG_CACHE_HOME": str(cache_home), "NO_COLOR": "1", "PYTHONPATH": path}


def expect_success(finished: Finished) -> Finished:
    """`finished`, which must have ended well."""
    assert finished.status == 0, f"ended with {finished.status}:\n{finished.stderr[-8000:]}"
    return finished


def expect_error(finished: Finished, status: int | tuple[int, ...], *mentions: str) -> str:
    """The one error message of `finished`, which must have ended with `status` and mention everything of `mentions`."""
    expected = (status,) if isinstance(status, int) else status
    # A traceback of what was run, such as a package's own build, is shown indented.
    assert "\nTraceback (most recent call last)" not in f"\n{finished.stderr}", finished.stderr[-8000:]
    assert finished.status in expected, f"ended with {finished.status}, expected {expected}:\n{finished.stderr[-8000:]}"
    assert len(finished.error_lines) == 1, f"{len(finished.error_lines)} error messages:\n{finished.stderr[-8000:]}"
    message = finished.error_message
    for mention in mentions:
        assert mention in message, f"`{mention}` is not in the error message:\n{finished.stderr[-8000:]}"
    assert finished.stdout == ""
    return message
