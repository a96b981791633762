"""`pybuild rebase`: an image gets another run image, without a build."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.exporters import Output
from pybuild.builder import default_definition_path
from pybuild.commands.options import Session, builder_option, insecure_registry_option, session_options
from pybuild.commands.outputs import output_options, report_option, write_report
from pybuild.commands.printing import print_result
from pybuild.image_location import LOCATIONS
from pybuild.images import rebase_image
from pybuild.rebase import RebaseRequest


@click.command(
    help=f"""Put a newer run image below IMAGE, which buildpacks built; nothing of the application is built again.

    IMAGE is {LOCATIONS}. Without outputs it is replaced where it is. Without `--run-image` it gets what it stands on as that is
    now: the builder's run image (`pybuild builder create --refresh` makes that anew), or the one of its registry.

    The result, one line for each output with the digest, goes to standard output.
    """
)
@click.argument("image")
@click.option("--run-image", metavar="WHERE", help="Take this run image, in the words of IMAGE.")
@click.option("--force", is_flag=True, help="Rebase although the run image is none that the image was made for.")
@output_options
@report_option
@builder_option
@insecure_registry_option
@session_options
def rebase(
    session: Session,
    image: str,
    run_image: str | None,
    outputs: tuple[Output, ...],
    report: Path | None,
    builder: Path | None,
    insecure_registries: tuple[str, ...],
    *,
    force: bool,
) -> None:
    """Put a newer run image below IMAGE."""
    request = RebaseRequest(
        location=image,
        builder=builder or default_definition_path(),
        run_image=run_image,
        outputs=outputs,
        force=force,
        insecure_registries=insecure_registries,
    )
    result = rebase_image(request, on_event=session.show, store=session.store)
    write_report(report, result.to_json())
    for output in result.outputs:
        print_result(output)
