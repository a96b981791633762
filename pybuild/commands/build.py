"""`pybuild build`: a repository becomes an image."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Output
from lifecycle.exporters.registry import RegistryOutput
from lifecycle.oci.descriptor import Platform
from pybuild.commands.options import Selection, Session, platform_option, selection_options, session_options
from pybuild.commands.outputs import compression_option, output_options, read_compression, report_option, write_report
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError
from pybuild.library import build as build_image
from pybuild.library import build_index
from pybuild.report import render_report


@click.command()
@output_options
@click.option(
    "--refresh", is_flag=True, help="Resolve unpinned requirements anew instead of keeping the lock of the last build."
)
@click.option(
    "--cache-image",
    metavar="NAME",
    help="Image in a registry with the cache of this application: taken where there is none here, or an older one, and written anew.",
)
@compression_option
@click.option(
    "--show-plan", is_flag=True, help="Show the build plan: what is required, and which buildpack provides it."
)
@platform_option
@report_option
@selection_options
@session_options
def build(
    selection: Selection,
    session: Session,
    outputs: tuple[Output, ...],
    cache_image: str | None,
    compression: str,
    platforms: tuple[Platform, ...],
    report: Path | None,
    *,
    refresh: bool,
    show_plan: bool,
) -> None:
    """Build an image from REPOSITORY: a directory, a git URL (with #ref:subdirectory) or an archive.

    The result, one line for each output with the digest, goes to standard output. Without outputs the image stays in pybuild's store.
    """  # fmt: skip
    request = selection.request(
        outputs=outputs,
        refresh=refresh,
        cache_image=_cache_image(cache_image, outputs),
        compression=read_compression(compression, outputs),
        platforms=platforms,
        shows_plan=show_plan,
    )
    build_it = build_image if len(platforms) == 1 else build_index
    result = build_it(request, on_event=session.show, store=session.store, host_env=selection.host_env)
    write_report(report, result.to_json())
    for line in render_report(result):
        session.log.info(line)
    for output in result.outputs:
        print_result(output)


def _cache_image(text: str | None, outputs: tuple[Output, ...]) -> Reference | None:
    if text is None:
        return None
    try:
        reference = Reference.parse(text).with_default_tag()
    except InvalidValue as err:
        raise UsageError(f"`--cache-image {text}`: {err.message}", err.hint) from err
    if reference.digest is not None:
        raise UsageError(f"`--cache-image {text}` has a digest, and what is written has another one", "name a tag")
    if any(isinstance(output, RegistryOutput) and reference in output.references for output in outputs):
        raise UsageError(f"`--cache-image {text}` is an output as well", "give the cache a name of its own")
    return reference
