"""`pybuild builder`: makes and shows the builder."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lifecycle.oci.descriptor import Platform
from pybuild.builder import (
    default_definition_path,
    describe_builder,
    ensure_builder,
    read_definition,
    render_description,
)
from pybuild.commands.options import Session, builder_option, platform_option, session_options
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError
from pybuild.store import in_use


@click.group("builder")
def builder() -> None:
    """The builder: the environment that builds run in, and the base of the images."""


@builder.command("create")
@builder_option
@click.option("--refresh", is_flag=True, help="Make the bases anew, with today's packages.")
@platform_option
@session_options
def builder_create(session: Session, builder: Path | None, platforms: tuple[Platform, ...], *, refresh: bool) -> None:
    """Make the builder and keep it in pybuild's store; `pybuild build` does so by itself where it is missing."""
    definition = read_definition(builder or default_definition_path())
    with in_use(session.store, session.log):
        for platform in platforms:
            architecture = platform.architecture
            made = ensure_builder(definition, session.store, session.log, architecture=architecture, refresh=refresh)
            print_result(made.key)


@builder.command("inspect")
@builder_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@platform_option
@session_options
def builder_inspect(session: Session, builder: Path | None, platforms: tuple[Platform, ...], *, as_json: bool) -> None:
    """Print what is in the builder; makes it where it is missing."""
    if len(platforms) > 1:
        raise UsageError("one builder is shown at a time", "name one platform")
    definition = read_definition(builder or default_definition_path())
    with in_use(session.store, session.log):
        architecture = platforms[0].architecture
        made = ensure_builder(definition, session.store, session.log, architecture=architecture)
        description = describe_builder(made)
    print_result(json.dumps(description, indent=2) if as_json else render_description(description))
