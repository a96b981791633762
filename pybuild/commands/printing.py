"""Results on standard output."""

from __future__ import annotations

import os
import signal
import sys

import click


def print_result(text: str) -> None:
    """Write a result to standard output."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # The reader has gone, as in `pybuild … | head`; nothing can be told it any more, not even by a late flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
