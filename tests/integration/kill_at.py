"""Runs pybuild, and has the kernel kill it at the moment before its N-th step: a change in a file system, or a piece that it sends.

Called as `kill_at.py N FILE ARGUMENT...`; with N = 0 it runs to its end, and FILE then holds the number of its steps.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

_STEPS = {
    "fcntl.flock",
    "http.client.send",
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _run() -> None:
    deadly, steps = int(sys.argv[1]), Path(sys.argv[2])
    sys.argv = ["pybuild", *sys.argv[3:]]
    numbers = itertools.count(1)
    last = 0

    # https://docs.python.org/3/library/audit_events.html
    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal last
        if event in _STEPS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
            last = next(numbers)
            if last == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    from pybuild.__main__ import main

    sys.addaudithook(watch)
    try:
        main()
    finally:
        counted = last
        if deadly == 0:
            steps.write_text(str(counted))


if __name__ == "__main__":
    _run()
