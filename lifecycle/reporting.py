"""How a program says what went wrong.

A variable of pybuild's own names a file for the process that started the program: `PYBUILD_ERROR_PATH` gets the error that ended it,
which is then not on stderr: the process that started it shows it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lifecycle.cnb.errors import CnbError, render_error
from lifecycle.cnb.failure import write_failure
from lifecycle.errors import FileProblem, PhaseEnded

# As shells report a program that SIGINT ended.
_INTERRUPTED = 130


def report_errors(work: Callable[[], None], env: Mapping[str, str]) -> int:
    """Return the exit code of `work`; what is wrong is on stderr, or where `env` says."""
    try:
        work()
    except CnbError as error:
        return _report(error, env)
    except OSError as err:
        return _report(FileProblem(path=err.filename, reason=err.strerror or str(err)), env)
    except PhaseEnded as ended:
        return ended.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _report(error: CnbError, env: Mapping[str, str]) -> int:
    wanted = env.get("PYBUILD_ERROR_PATH")
    if not wanted or not _write_error(Path(wanted), error):
        sys.stderr.buffer.write(f"{render_error(error)}\n".encode("utf-8", "backslashreplace"))
    return error.exit_code


def _write_error(path: Path, error: CnbError) -> bool:
    """Return whether the error is where the process that started the phase will look for it."""
    try:
        write_failure(path, error)
    except OSError:
        return False
    return True
