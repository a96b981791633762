"""Where commands put images and reports: the options that several of them share."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import write_atomically
from lifecycle.exporters import OUTPUTS, Output, parse_output
from lifecycle.exporters.archive import ZSTD_REFUSED, ArchiveOutput
from lifecycle.exporters.daemon import DaemonOutput
from lifecycle.exporters.registry import RegistryOutput
from lifecycle.oci.compression import Compression
from lifecycle.oci.location import DAEMON_PREFIX, REGISTRY_PREFIX, Transport
from pybuild.commands.options import Command, F
from pybuild.errors import UsageError


def output_options(command: Command) -> Command:
    """Gives a command `outputs`; empty where none is said."""

    @functools.wraps(command)
    def with_outputs(
        *arguments: object, outputs: tuple[str, ...], tags: tuple[str, ...], publish: bool, **others: object
    ) -> None:
        command(*arguments, outputs=read_outputs(outputs, tags, publish=publish), **others)

    options = (
        click.option("--publish", is_flag=True, help="Push each NAME of `--tag` to its registry."),
        click.option(
            "-t",
            "--tag",
            "tags",
            multiple=True,
            metavar="NAME",
            help="Name of the image in its outputs; may be repeated. Without `--output` and `--publish` it is put into the Docker engine "
            "under this name.",
        ),
        click.option("-o", "--output", "outputs", multiple=True, metavar="WHERE", help=f"{OUTPUTS}; may be repeated."),
    )
    decorated: Command = with_outputs
    for option in options:
        decorated = option(decorated)
    return decorated


def read_outputs(texts: tuple[str, ...], tags: tuple[str, ...], *, publish: bool) -> tuple[Output, ...]:
    """What `--output`, `--tag` and `--publish` mean together. Raises `UsageError`."""
    outputs = [_output(text, tags) for text in texts]
    if publish:
        if not tags:
            raise UsageError("`--publish` needs a name to push to", "add `--tag NAME`")
        return (*outputs, *(_tagged(f"{REGISTRY_PREFIX}{tag}", ()) for tag in tags))
    if tags and not texts:
        # As `docker build` and `pack build` do: a name alone is one in the engine.
        return (_tagged(DAEMON_PREFIX, tags),)
    if tags and all(isinstance(output, RegistryOutput) for output in outputs):
        raise UsageError(
            f"`--tag {tags[0]}` names the image nowhere: `{REGISTRY_PREFIX}` outputs have their names in themselves",
            f"add `--publish` to push it, or `--output {DAEMON_PREFIX}` for the Docker engine",
        )
    return tuple(outputs)


def compression_option(command: F) -> F:
    """Gives a command `compression`, which `read_compression` reads."""
    option = click.option(
        "--compression",
        type=click.Choice([one.value for one in Compression]),
        default=Compression.GZIP.value,
        show_default=True,
        help="Of the layers that are made. zstd is a quarter smaller; Docker reads it from version 23 on.",
    )
    return option(command)


def read_compression(name: str, outputs: tuple[Output, ...]) -> Compression:
    """What `--compression` says. Raises `UsageError` where one of the outputs has no such layers."""
    compression = Compression(name)
    refusing = [output.location for output in outputs if _is_for_docker(output)]
    if compression is Compression.ZSTD and refusing:
        raise UsageError(
            f"`--compression zstd` is not for `{refusing[0]}`: {ZSTD_REFUSED}", "leave it out, it is gzip then"
        )
    return compression


def _is_for_docker(output: Output) -> bool:
    is_archive = isinstance(output, ArchiveOutput) and output.transport is Transport.DOCKER_ARCHIVE
    return is_archive or isinstance(output, DaemonOutput)


def report_option(command: Command) -> Command:
    """Gives a command `report`, a path or `None`, for `write_report`."""
    return click.option(
        "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a report as JSON to this file."
    )(command)


def write_report(path: Path | None, report: Mapping[str, object]) -> None:
    """Write a report where one is asked for."""
    if path is None:
        return
    content = (json.dumps(report, indent=2) + "\n").encode()
    if path.exists() and not path.is_file():
        # A pipe or a device, such as /dev/stdout, is written to; a file beside it must not take its place.
        path.write_bytes(content)
    else:
        write_atomically(path, content)


def _tagged(text: str, tags: Sequence[str]) -> Output:
    """What `parse_output` returns, with errors of the option that the names were given by."""
    try:
        return parse_output(text, tags=tags)
    except InvalidValue as err:
        raise UsageError(f"`--tag`: {err.summary}", err.hint) from err


def _output(text: str, tags: tuple[str, ...]) -> Output:
    try:
        return parse_output(text, tags=tags)
    except InvalidValue as err:
        raise UsageError(f"`--output {text}` {err.message}", err.hint or "for example `--output oci:DIR`") from err
