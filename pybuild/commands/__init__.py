"""The command line: one module a command, loaded when it is called, because most of a short command's time is loading others."""

from __future__ import annotations

import importlib

import click

from pybuild import __version__

_COMMANDS = ("build", "detect", "fix", "run", "check", "push", "rebase", "builder", "cache", "completion")


class _Commands(click.Group):
    """The commands in the order of `_COMMANDS`; each is the function of that name in the module of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click calls it so
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pybuild")
def cli() -> None:
    """Turn a code repository into an OCI image that runs it."""
