"""Results on standard output."""

from __future__ import annotations

import sys

import click

from pybuild.display import leave_without_reader


def print_result(text: str) -> None:
    """Write a result to standard output."""
    try:
        click.echo(text)
    except BrokenPipeError:
        # As in `pybuild … | head`
        leave_without_reader(sys.stdout)
