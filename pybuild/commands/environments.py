"""What the commands of `pybuild env` share: which environment, in which workspace."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import click

from pybuild.commands.options import Command, insecure_registry_option
from pybuild.commands.printing import print_result
from pybuild.environments.registered import parse_version
from pybuild.workspaces.place import WORKSPACE_VARIABLE, WORKSPACES
from pybuild.workspaces.version import RegisteredVersion
from pybuild.workspaces.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which environment is meant: `NAME`, `NAME:VERSION` or `NAME@LABEL`."""

    name: str
    version: int | None = None
    label: str | None = None

    def get(self, workspace: Workspace) -> RegisteredVersion:
        """The version that is meant: the latest where none is said."""
        return workspace.get(self.name, version=self.version, label=self.label)


class WantedType(click.ParamType[Wanted]):
    """Reads a `Wanted`."""

    name = "environment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Wanted:  # noqa: ARG002  # click calls it so
        """What is meant. Raises `InvalidName`."""
        if isinstance(value, Wanted):
            return value
        name, at, label = str(value).partition("@")
        if at:
            return Wanted(name=name, label=label)
        name, colon, version = name.partition(":")
        return Wanted(name=name, version=parse_version(version) if colon else None)


def workspace_options(command: Command) -> Command:
    """Gives a command `workspace`, open until it ends."""

    @functools.wraps(command)
    def with_workspace(
        *arguments: object, place: str | None, insecure_registries: tuple[str, ...], **others: object
    ) -> None:
        with Workspace(place, insecure_registries=insecure_registries) as workspace:
            command(*arguments, workspace=workspace, **others)

    option = click.option(
        "-w",
        "--workspace",
        "place",
        metavar="WHERE",
        help=f"{WORKSPACES}; without it ${WORKSPACE_VARIABLE}, else a directory of your own.",
    )
    decorated: Command = option(insecure_registry_option(with_workspace))
    return decorated


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of as many cells each, one below the other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print_result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
