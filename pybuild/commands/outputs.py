"""Where commands put images and reports: the options that several of them share."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import click

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import write_atomically
from lifecycle.exporters import OUTPUTS, Output, parse_output
from pybuild.commands.options import Command
from pybuild.errors import UsageError


def output_options(command: Command) -> Command:
    """Gives a command `outputs`; empty where none is said."""

    @functools.wraps(command)
    def with_outputs(*arguments: object, outputs: tuple[str, ...], tags: tuple[str, ...], **others: object) -> None:
        command(*arguments, outputs=tuple(_output(text, tags) for text in outputs), **others)

    option = click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        metavar="WHERE",
        help=f"{OUTPUTS}; may be repeated.",
    )
    tag_option = click.option(
        "-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name of the image in its outputs; may be repeated."
    )
    return option(tag_option(with_outputs))


def report_option(command: Command) -> Command:
    """Gives a command `report`, a path or `None`, for `write_report`."""
    return click.option(
        "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a report as JSON to this file."
    )(command)


def write_report(path: Path | None, report: Mapping[str, object]) -> None:
    """Write a report where one is asked for."""
    if path is None:
        return
    content = (json.dumps(report, indent=2) + "\n").encode()
    if path.exists() and not path.is_file():
        # A pipe or a device, such as /dev/stdout, is written to; a file beside it must not take its place.
        path.write_bytes(content)
    else:
        write_atomically(path, content)


def _output(text: str, tags: tuple[str, ...]) -> Output:
    try:
        return parse_output(text, tags=tags)
    except InvalidValue as err:
        raise UsageError(f"`--output {text}` {err.message}", err.hint or "for example `--output oci:DIR`") from err
