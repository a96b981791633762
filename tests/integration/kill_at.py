"""Runs pybuild, and makes trouble at the moment before its N-th step: a change in a file system, or a piece that it sends.

Called as `kill_at.py TROUBLE N FILE ARGUMENT...`; with N = 0 it runs to its end, and FILE then holds the number of its steps.
TROUBLE is `SIGKILL`, by the kernel; `ENOSPC`, from then on for whatever would be made; or `EIO`, once.
"""

from __future__ import annotations

import errno
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
_MAKING = {"os.link", "os.mkdir", "os.symlink"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _run() -> None:
    trouble, deadly, steps = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    sys.argv = ["pybuild", *sys.argv[4:]]
    numbers = itertools.count(1)
    last = 0

    # https://docs.python.org/3/library/audit_events.html
    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal last
        is_opened = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)
        if not (is_opened or event in _STEPS) or str(arguments[0]).startswith("/dev/"):
            return
        last = next(numbers)
        if trouble == "SIGKILL" and last == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        makes = is_opened or event in _MAKING
        if makes and ((trouble == "ENOSPC" and 0 < deadly <= last) or (trouble == "EIO" and last == deadly)):
            code = getattr(errno, trouble)
            raise OSError(code, os.strerror(code), str(arguments[0]))

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
