"""`pybuild build`: a repository becomes an image."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.exporters import Output
from pybuild.build import build_image
from pybuild.commands.options import Selection, Session, selection_options, session_options
from pybuild.commands.outputs import output_options, report_option, write_report
from pybuild.commands.printing import print_result
from pybuild.report import render_report


@click.command()
@output_options
@click.option(
    "--refresh", is_flag=True, help="Resolve unpinned requirements anew instead of keeping the lock of the last build."
)
@report_option
@selection_options
@session_options
def build(
    selection: Selection,
    session: Session,
    outputs: tuple[Output, ...],
    report: Path | None,
    *,
    refresh: bool,
) -> None:
    """Build an image from REPOSITORY: a directory, a git URL (with #ref:subdirectory) or an archive.

    The result, one line for each output with the digest, goes to standard output. Without outputs the image stays in pybuild's store.
    """  # fmt: skip
    request = selection.request(outputs=outputs, refresh=refresh)
    result = build_image(request, session.store, selection.host_env, session.log)
    write_report(report, result.to_json())
    for line in render_report(result):
        session.log.info(line)
    for output in result.outputs:
        print_result(output)
