"""`pybuild check`: tries whether an image has what a profile asks for."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pybuild.builder import Definition, default_definition_path, read_definition
from pybuild.check import CheckRequest, Profile, ProfileNotMet, UnknownProfile, check_image, describe_report
from pybuild.commands.options import Duration, Session, builder_option, insecure_registry_option, session_options
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError
from pybuild.image_location import LOCATIONS, open_image


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
    profile = _find_profile(read_definition(builder or default_definition_path()), name)
    with open_image(image, session.store, session.log, insecure=insecure_registries) as opened:
        request = CheckRequest(image=opened, profile=profile, timeout_s=timeout)
        report = check_image(request, session.store, session.log)
    if as_json:
        print_result(json.dumps(report.to_json(), indent=2))
    else:
        for line in describe_report(report):
            print_result(line)
    if not report.holds:
        raise ProfileNotMet(location=image, report=report)


def _find_profile(definition: Definition, name: str | None) -> Profile:
    if name is not None and name not in definition.profiles:
        raise UnknownProfile(name, sorted(definition.profiles))
    found = definition.required_profile if name is None else definition.profiles[name]
    if found is None:
        known = ", ".join(f"`{one}`" for one in sorted(definition.profiles))
        raise UsageError(
            "no profile is named, and the builder requires none", f"give `--profile NAME`; known are {known}"
        )
    return found
