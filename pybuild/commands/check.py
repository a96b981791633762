"""`pybuild check`: tries whether an image has what a profile asks for."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pybuild.check import ProfileNotMet, describe_report
from pybuild.commands.options import Duration, Session, builder_option, insecure_registry_option, session_options
from pybuild.commands.printing import print_result
from pybuild.image_location import LOCATIONS
from pybuild.images import check_image


@click.command(
    help=f"""Try whether IMAGE has what a profile asks for, by running it in a sandbox: python, pip, programs.

    IMAGE is {LOCATIONS}. The table of what holds and what does not goes to standard output; the exit code is 0 where all holds.
    """
)
@click.argument("image")
@click.option(
    "--profile",
    "name",
    metavar="NAME",
    help="`deepnote`, or one that the builder.toml defines; without it the one that the builder requires.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--timeout", type=Duration(), default="60s", show_default=True, help="Time limit of each program.")
@builder_option
@insecure_registry_option
@session_options
def check(
    session: Session,
    image: str,
    name: str | None,
    timeout: float,
    builder: Path | None,
    insecure_registries: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Try whether IMAGE has what a profile asks for."""
    report = check_image(
        image,
        name,
        builder=builder,
        timeout_s=timeout,
        insecure_registries=insecure_registries,
        on_event=session.show,
        store=session.store,
    )
    if as_json:
        print_result(json.dumps(report.to_json(), indent=2))
    else:
        for line in describe_report(report):
            print_result(line)
    if not report.holds:
        raise ProfileNotMet(location=image, report=report)
