"""The command line: one module a command, loaded when it is called, because most of a short command's time is loading others."""

from __future__ import annotations

import importlib

import click

from pybuild import __version__

# What each says of itself first, so that the list of all can be shown without loading them.
_COMMANDS = {
    "build": "Build an image from REPOSITORY: a directory, a git URL (with #ref:subdirectory) or an archive.",
    "detect": "Say which buildpacks would build REPOSITORY, and why the others would not.",
    "fix": "Correct the files of REPOSITORY, a directory, that keep it from being built, where no decision is needed for it.",
    "run": "Run IMAGE (for example oci:DIR or docker://NAME) in a sandbox, as its own user: pybuild run IMAGE -- COMMAND.",
    "check": "Try whether IMAGE has what a profile asks for, by running it in a sandbox: python, pip, programs.",
    "push": "Push IMAGE, which was built before, under each NAME to its registry.",
    "rebase": "Put a newer run image below IMAGE, which buildpacks built; nothing of the application is built again.",
    "env": "Environments with names and versions, in a workspace: a namespace of a registry or a directory.",
    "builder": "The builder: the environment that builds run in, and the base of the images.",
    "buildpack": "Buildpacks: how they are given to others.",
    "cache": "What pybuild keeps on this machine from build to build: lists it, measures it, removes it.",
    "completion": 'Print the completion script of SHELL; in bash: eval "$(pybuild completion bash)".',
}


class _Commands(click.Group):
    """The commands in the order of `_COMMANDS`; each is the function of that name in the module of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click calls it so
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        """List the commands."""
        room = formatter.width - 6 - max(map(len, _COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=text).get_short_help_str(room)) for name, text in _COMMANDS.items()]
            )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pybuild")
def cli() -> None:
    """Turn a code repository into an OCI image that runs it."""
