"""`pybuild build`: a repository becomes an image."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import write_atomically
from lifecycle.exporters import Output, parse_output
from pybuild.build import build_image
from pybuild.commands.options import Selection, Session, selection_options, session_options
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError
from pybuild.report import render_report


@click.command()
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="WHERE",
    help="oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE; may be repeated. Without it the image stays in pybuild's store.",
)
@click.option(
    "-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name of the image in its outputs; may be repeated."
)
@click.option(
    "--refresh", is_flag=True, help="Resolve unpinned requirements anew instead of keeping the lock of the last build."
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a report as JSON to this file.")
@selection_options
@session_options
def build(
    selection: Selection,
    session: Session,
    outputs: tuple[str, ...],
    tags: tuple[str, ...],
    report: Path | None,
    *,
    refresh: bool,
) -> None:
    """Build an image from REPOSITORY: a directory, a git URL (with #ref:subdirectory) or an archive.

    The result, one line for each output with the digest, goes to standard output.
    """  # fmt: skip
    request = selection.request(outputs=tuple(_output(text, tags) for text in outputs), refresh=refresh)
    result = build_image(request, session.store, selection.host_env, session.log)
    if report is not None:
        _write_report(report, (json.dumps(result.to_json(), indent=2) + "\n").encode())
    for line in render_report(result):
        session.log.info(line)
    for output in result.outputs:
        print_result(output)


def _write_report(path: Path, content: bytes) -> None:
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
