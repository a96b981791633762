"""`pybuild builder`: makes and shows the builder."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lifecycle.exporters import OUTPUTS, Output
from lifecycle.oci.descriptor import Platform
from pybuild.builder import (
    default_definition_path,
    describe_builder,
    ensure_builder,
    read_definition,
    render_description,
)
from pybuild.builder.image_description import describe_image, render_image_description
from pybuild.builder_creation import BuilderRequest
from pybuild.commands.options import (
    Session,
    builder_option,
    insecure_registry_option,
    platform_option,
    session_options,
)
from pybuild.commands.outputs import (
    compression_option,
    output_options,
    read_compression,
    read_outputs,
    report_option,
    write_report,
)
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError
from pybuild.image_location import open_image_config
from pybuild.store import in_use
from pybuild.upkeep import create_builder


@click.group("builder")
def builder() -> None:
    """The builder: the environment that builds run in, and the base of the images."""


@builder.command("create")
@output_options
@click.option(
    "--run-output",
    "run_outputs",
    multiple=True,
    metavar="WHERE",
    help=f"Where the run image goes, which images of the builder stand on: {OUTPUTS}; may be repeated.",
)
@compression_option
@builder_option
@click.option("--refresh", is_flag=True, help="Make the bases anew, with today's packages.")
@platform_option
@report_option
@insecure_registry_option
@session_options
def builder_create(
    session: Session,
    outputs: tuple[Output, ...],
    run_outputs: tuple[str, ...],
    compression: str,
    builder: Path | None,
    platforms: tuple[Platform, ...],
    report: Path | None,
    insecure_registries: tuple[str, ...],
    *,
    refresh: bool,
) -> None:
    """Make the builder and keep it in pybuild's store; `pybuild build` does so by itself where it is missing.

    With outputs it is an image as well, for `pack`, kpack, Tekton and whatever else starts the programs of a builder image. The result, one
    line for each output with the digest or the name of the builder in the store, goes to standard output.
    """
    request = BuilderRequest(
        builder=builder or default_definition_path(),
        platforms=platforms,
        outputs=outputs,
        run_outputs=read_outputs(run_outputs, (), publish=False),
        compression=read_compression(compression, outputs),
        insecure_registries=insecure_registries,
        refresh=refresh,
    )
    result = create_builder(request, on_event=session.show, store=session.store)
    write_report(report, result.to_json())
    for line in result.locations or result.keys:
        print_result(line)


@builder.command("inspect")
@builder_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@platform_option
@insecure_registry_option
@click.argument("image", required=False)
@session_options
def builder_inspect(
    session: Session,
    builder: Path | None,
    platforms: tuple[Platform, ...],
    insecure_registries: tuple[str, ...],
    image: str | None,
    *,
    as_json: bool,
) -> None:
    """Print what is in the builder of a builder.toml, which is made where it is missing, or in the builder IMAGE.

    IMAGE is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker://NAME or docker-daemon:NAME; the layers of one in a
    registry stay there.
    """
    if len(platforms) > 1:
        raise UsageError("one builder is shown at a time", "name one platform")
    if image is not None:
        if builder is not None:
            raise UsageError("`--builder` and an image name two builders", "name one of them")
        with open_image_config(image, session.site(), insecure=insecure_registries) as found:
            shown = describe_image(found)
        print_result(json.dumps(shown, indent=2) if as_json else render_image_description(shown))
        return
    definition = read_definition(builder or default_definition_path())
    with in_use(session.store, session.log):
        architecture = platforms[0].architecture
        made = ensure_builder(definition, session.store, session.log, architecture=architecture)
        description = describe_builder(made)
    print_result(json.dumps(description, indent=2) if as_json else render_description(description))
