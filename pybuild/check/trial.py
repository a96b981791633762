"""Running a program of an image that is not trusted: it gets a time limit, and may write, start and keep only so much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.command import CommandTimeout, run_command
from lifecycle.cnb.deadline import NEVER, Deadline
from pybuild.engines.image_root import ImageCopy, outer_environment
from pybuild.engines.limits import LimitedProcesses
from pybuild.engines.sandbox import Mount
from pybuild.errors import SandboxUnusable

_OUTPUT_LIMIT = 1 << 20
# What bubblewrap says when the image is to blame and not the machine.
_BUBBLEWRAP = "bwrap: "
_NOT_STARTED, _NO_DIRECTORY = "bwrap: execvp ", "bwrap: Can't chdir "


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended. `status`: its exit status, 128+N when signal N ended it; None where it had to be stopped."""

    status: int | None
    output: str
    problem: str | None = None
    """Why it was stopped, or could not be started."""

    @property
    def is_good(self) -> bool:
        """Whether it ended by itself and well."""
        return self.status == 0

    @property
    def last_line(self) -> str:
        """What it said last, the line that says most of a failure."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""

    def describe(self) -> str:
        """In a line, how it ended otherwise than well."""
        if self.problem is not None:
            return self.problem
        ended = f"ended with status {self.status}"
        return f"{ended}: {self.last_line}" if self.last_line else ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """Where programs of one image are tried, one after the other; what one writes the next one sees."""

    copy: ImageCopy
    processes: LimitedProcesses
    timeout_s: float
    """Of each program."""
    deadline: Deadline = NEVER
    """Of all."""
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Beyond the image's own."""

    def with_env(self, env: Mapping[str, str]) -> Laboratory:
        """The same with these variables."""
        return replace(self, env={**self.env, **env})

    def run(self, argv: Sequence[str]) -> Outcome:
        """How `argv` ended, without network, as the image's own user.

        Raises:
            SandboxUnusable, ToolMissing: nothing can be run on this machine.
            lifecycle.cnb.command.CommandTimeout: the deadline of all has passed.
        """
        sandbox = self.copy.sandbox(network=False)
        sandbox = replace(sandbox, mounts=self.mounts, env={**sandbox.env, **self.env})
        command = self.copy.command(
            sandbox,
            argv,
            by_shell=False,
            limits=self.processes.command,
            control_group=self.processes.control_group,
        )
        written = _Written()
        limit = self.deadline.within(self.timeout_s)
        try:
            result = run_command(command, env=outer_environment(), cwd=Path("/"), on_line=written.count, deadline=limit)
        except CommandTimeout as err:
            if self.deadline.has_passed():
                raise
            return Outcome(status=None, output=err.output, problem=f"did not end within {self.timeout_s:g} seconds")
        except _TooMuch:
            return Outcome(status=None, output="", problem=f"wrote more than {_OUTPUT_LIMIT >> 20} MiB")
        return _outcome(result.status, result.output)


def _outcome(status: int, output: str) -> Outcome:
    first = output.split("\n", 1)[0]
    if status != 1 or not first.startswith(_BUBBLEWRAP):
        return Outcome(status=status, output=output)
    if first.startswith(_NOT_STARTED):
        return Outcome(status=127, output="", problem=f"cannot be started: {first.rpartition(': ')[2]}")
    if first.startswith(_NO_DIRECTORY):
        reason = first.removeprefix(_NO_DIRECTORY)
        return Outcome(
            status=126, output="", problem=f"cannot be started: the working directory cannot be had: {reason}"
        )
    raise SandboxUnusable(first.removeprefix(_BUBBLEWRAP))


class _TooMuch(Exception):
    """A program writes without an end."""


class _Written:
    def __init__(self) -> None:
        self._size = 0

    def count(self, line: str) -> None:
        self._size += len(line) + 1
        if self._size > _OUTPUT_LIMIT:
            raise _TooMuch
