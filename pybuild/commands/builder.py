"""`pybuild builder`: makes and shows the builder."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pybuild.builder import (
    default_definition_path,
    describe_builder,
    ensure_builder,
    read_definition,
    render_description,
)
from pybuild.commands.options import Session, builder_option, session_options
from pybuild.commands.printing import print_result
from pybuild.store import in_use


@click.group("builder")
def builder() -> None:
    """The builder: the environment that builds run in, and the base of the images."""


@builder.command("create")
@builder_option
@click.option("--refresh", is_flag=True, help="Make the bases anew, with today's packages.")
@session_options
def builder_create(session: Session, builder: Path | None, *, refresh: bool) -> None:
    """Make the builder and keep it in pybuild's store; `pybuild build` does so by itself where it is missing."""
    definition = read_definition(builder or default_definition_path())
    with in_use(session.store, session.log):
        made = ensure_builder(definition, session.store, session.log, refresh=refresh)
    print_result(made.key)


@builder.command("inspect")
@builder_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@session_options
def builder_inspect(session: Session, builder: Path | None, *, as_json: bool) -> None:
    """Print what is in the builder; makes it where it is missing."""
    definition = read_definition(builder or default_definition_path())
    with in_use(session.store, session.log):
        description = describe_builder(ensure_builder(definition, session.store, session.log))
    print_result(json.dumps(description, indent=2) if as_json else render_description(description))
