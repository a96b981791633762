"""How many processes a command may have at once, so that one which does nothing but multiply takes itself down and no machine.

The kernel counts the processes of an ordinary user in the sandbox's own user namespace (RLIMIT_NPROC, setrlimit(2)), but does
not hold the limit against the machine's root; for root a control group does the same, where one can be made.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
# Larger than what an import writes; a file of a terabyte is none.
_FILE_SIZE_LIMIT = 1 << 32
_ATTEMPTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedProcesses:
    """What a command must be started with. `control_group`: a file that takes its number; None where none could be made."""

    command: tuple[str, ...]
    control_group: Path | None = None


@contextlib.contextmanager
def limited_processes(count: int) -> Iterator[LimitedProcesses]:
    """Limits for commands that are started while the context lasts: `count` processes at once for all of them together."""
    program = shutil.which("prlimit")
    command = () if program is None else (program, f"--nproc={count}:{count}", f"--fsize={_FILE_SIZE_LIMIT}")
    with _control_group(count) if os.geteuid() == 0 else contextlib.nullcontext() as group:
        yield LimitedProcesses(command=command, control_group=group)


@contextlib.contextmanager
def _control_group(count: int) -> Iterator[Path | None]:
    # https://docs.kernel.org/admin-guide/cgroup-v2.html, and the first version, which has a tree for each controller
    unified = (_CONTROL_GROUPS / "cgroup.controllers").exists()
    directory = (_CONTROL_GROUPS if unified else _CONTROL_GROUPS / "pids") / f"pybuild-{secrets.token_hex(8)}"
    try:
        if unified:
            (_CONTROL_GROUPS / "cgroup.subtree_control").write_text("+pids")
        directory.mkdir()
    except OSError:
        # In a container these are read-only; the time limit remains.
        yield None
        return
    try:
        try:
            (directory / "pids.max").write_text(str(count))
        except OSError:
            yield None
        else:
            yield directory / "cgroup.procs"
    finally:
        _remove(directory)


def _remove(directory: Path) -> None:
    for _ in range(_ATTEMPTS):
        try:
            directory.rmdir()
        except OSError:  # the last processes are about to end
            time.sleep(0.05)
        else:
            return
