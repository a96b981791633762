"""The `pybuild` program: runs a command and turns errors into one message and an exit code (docs/exit-codes.md)."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from lifecycle.cnb.errors import CnbError, render_error
from pybuild.errors import MachineError, NoSpace, PhaseFailed

_INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM
# What tempfile says, whatever it is that keeps it from writing
_NO_TEMPORARY_DIRECTORY = "No usable temporary directory"


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends the build as Ctrl-C does, with everything cleaned up."""


def main() -> None:
    """Run the command line; never returns."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run())


def _run() -> int:
    # What follows loads most of the program: an interruption while it does is one as well.
    try:
        from pybuild.commands import cli

        cli.main(prog_name="pybuild", standalone_mode=False)
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except CnbError as err:
        return _fail(err)
    except (KeyboardInterrupt, click.Abort) as err:
        # click turns every KeyboardInterrupt into an Abort of its own.
        if isinstance(err, Terminated) or isinstance(err.__cause__, Terminated):
            sys.stderr.write("error: terminated\n")
            return _TERMINATED
        sys.stderr.write("error: interrupted\n")
        return _INTERRUPTED
    except OSError as err:
        known = _known_os_error(err)
        if known is None:
            raise
        return _fail(known)
    return 0


def _fail(error: CnbError) -> int:
    if isinstance(error, PhaseFailed) and error.said:
        sys.stderr.write(f"===> FAILED, exit code {error.exit_code}\n")
        return error.exit_code
    sys.stderr.write(render_error(error).rstrip("\n") + "\n")
    return error.exit_code


def _known_os_error(err: OSError) -> MachineError | None:
    path = Path(err.filename) if isinstance(err.filename, (str, bytes)) and isinstance(err.filename, str) else None
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(path)
    if err.errno == errno.ENOENT and (err.strerror or "").startswith(_NO_TEMPORARY_DIRECTORY):
        return MachineError(
            "no directory for temporary files can be written", "make room in `/tmp`, or name a directory with `TMPDIR`"
        )
    if err.errno == errno.EIO:
        what = "a disk" if path is None else f"`{path}`"
        return MachineError(
            f"{what} cannot be read or written: {os.strerror(errno.EIO)}", "look at what `dmesg` says of the disk"
        )
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and path is not None:
        return MachineError(f"cannot write `{path}`: {os.strerror(err.errno)}", "look at its permissions")
    return None


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    main()
