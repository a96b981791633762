"""`pybuild buildpack`: makes packages of buildpacks."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lifecycle.exporters import Output
from lifecycle.exporters.archive import ArchiveOutput
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.location import Location, Transport
from pybuild.buildpackage import PackageRequest, package_buildpack
from pybuild.commands.options import Platforms, Session, insecure_registry_option, session_options
from pybuild.commands.outputs import (
    compression_option,
    output_options,
    read_compression,
    report_option,
    write_report,
)
from pybuild.commands.printing import print_result
from pybuild.errors import UsageError


@click.group("buildpack")
def buildpack() -> None:
    """Buildpacks: how they are given to others."""


@buildpack.command("package")
@output_options
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.cnb",
    help="Write the package as a file, which is an OCI image layout in a tar; may be repeated.",
)
@click.option("--flatten", is_flag=True, help="Put all buildpacks of the package into one layer.")
@click.option(
    "--flatten-exclude",
    "exploded",
    multiple=True,
    metavar="ID@VERSION",
    help="With --flatten: leave this buildpack its own layer; may be repeated.",
)
@click.option(
    "--platform",
    "platforms",
    type=Platforms(),
    metavar="OS/ARCH[,...]",
    help="What the package says that it is for; several become one index. Without it, the targets of package.toml, or this machine's.",
)
@compression_option
@report_option
@insecure_registry_option
@click.argument("path", type=click.Path(path_type=Path, exists=True), default=Path())
@session_options
def buildpack_package(
    session: Session,
    path: Path,
    outputs: tuple[Output, ...],
    files: tuple[Path, ...],
    exploded: tuple[str, ...],
    platforms: tuple[Platform, ...] | None,
    compression: str,
    report: Path | None,
    insecure_registries: tuple[str, ...],
    *,
    flatten: bool,
) -> None:
    """Package the buildpack or extension of PATH: a package.toml, its directory, or the directory of the buildpack.

    The result, one line for each output with the digest, goes to standard output.
    """
    archives = (Location(transport=Transport.OCI_ARCHIVE, path=file) for file in files)
    places = (*outputs, *(ArchiveOutput.make(place, ()) for place in archives))
    if not places:
        raise UsageError("nothing says where the package goes", "add `--file FILE.cnb` or `--output WHERE`")
    if exploded and not flatten:
        raise UsageError("`--flatten-exclude` leaves something out of `--flatten`, which is not there", "add it")
    request = PackageRequest(
        path=path,
        outputs=places,
        platforms=platforms,
        is_flattened=flatten,
        exploded=exploded,
        compression=read_compression(compression, places),
        insecure_registries=insecure_registries,
    )
    result = package_buildpack(request, session.store, os.environ, session.log)
    write_report(report, result.to_json())
    for one in result.written:
        print_result(one.location)
