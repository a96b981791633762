"""`pybuild push`: an image that is there goes into registries."""

from __future__ import annotations

from pathlib import Path

import click

from pybuild.commands.options import Session, insecure_registry_option, session_options
from pybuild.commands.outputs import report_option, write_report
from pybuild.commands.printing import print_result
from pybuild.image_location import LOCATIONS
from pybuild.images import push_image
from pybuild.push import PushRequest


@click.command(
    help=f"""Push IMAGE, which was built before, under each NAME to its registry.

    IMAGE is {LOCATIONS}; NAME is for example registry.example.org/team/app:1. What a registry has is not sent again.

    The result, one line for each NAME with the digest, goes to standard output.
    """
)
@click.argument("image")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@report_option
@insecure_registry_option
@session_options
def push(
    session: Session, image: str, names: tuple[str, ...], report: Path | None, insecure_registries: tuple[str, ...]
) -> None:
    """Push IMAGE under each NAME to its registry."""
    request = PushRequest(location=image, names=names, insecure_registries=insecure_registries)
    result = push_image(request, on_event=session.show, store=session.store)
    write_report(report, result.to_json())
    for one in result.written:
        print_result(one.location)
