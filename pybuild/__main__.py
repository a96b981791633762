"""The `pybuild` program: runs a command and turns errors into one message and an exit code (docs/exit-codes.md)."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from lifecycle.cnb.errors import CnbError, render_error
from pybuild.errors import PhaseFailed, machine_error_of

_INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM


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
        known = machine_error_of(err)
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


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    main()
