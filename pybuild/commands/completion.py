"""`pybuild completion`: what a shell asks to complete a command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pybuild.commands.printing import print_result
from pybuild.errors import UsageError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; in bash: eval "$(pybuild completion bash)"."""
    shell_class = get_completion_class(shell)
    if shell_class is None:
        raise UsageError(f"there is no completion for `{shell}`")
    print_result(shell_class(context.find_root().command, {}, "pybuild", "_PYBUILD_COMPLETE").source())
