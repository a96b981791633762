"""Which user a program works as: platforms may start it as root, so that it can use what others wrote (platform.md, "Operations").

Programs that run other people's code must not be root, and what they leave must belong to the user of the build image.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lifecycle.oci.archive import Owner

_PR_SET_DUMPABLE = 4
# As shells report a program that SIGTERM ended.
_TERMINATED = 143


def is_root() -> bool:
    """Return whether this process may become any user."""
    return os.geteuid() == 0


def own(paths: Sequence[Path], owner: Owner) -> None:
    """Let `owner` have these directories with all that is in them, as far as it has not. Raises `OSError`."""
    for path in paths:
        for directory, names, files in os.walk(path):
            for place in (directory, *(os.path.join(directory, name) for name in (*names, *files))):  # noqa: PTH118
                found = os.lstat(place)
                if (found.st_uid, found.st_gid) != (owner.user_id, owner.group_id):
                    os.chown(place, owner.user_id, owner.group_id, follow_symlinks=False)


def become(owner: Owner) -> None:
    """Continue as that user for good. Raises `OSError`."""
    os.setgroups([owner.group_id])
    os.setgid(owner.group_id)
    os.setuid(owner.user_id)


def hide_memory() -> None:
    """Keep other processes of the same user from reading this one's memory and the environment that it was started with."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def run_apart(work: Callable[[], int]) -> int:
    """Return what `work` returns in a process of its own, which ends with it, and with this one."""
    child = os.fork()
    if child == 0:
        _work(work)

    def hand_on(number: int, _: FrameType | None) -> NoReturn:
        os.kill(child, number)
        os.waitpid(child, 0)
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    ended = os.waitstatus_to_exitcode(status)
    return ended if ended >= 0 else 128 - ended


def _work(work: Callable[[], int]) -> NoReturn:
    # Whatever happens, neither to who called nor through what the interpreter does at its end: both are the other process's.
    code = 1
    try:
        done = work()
        sys.stdout.flush()
        sys.stderr.flush()
        code = done
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)
