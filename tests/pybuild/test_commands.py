from __future__ import annotations

import subprocess
import sys

import click
import pytest

from pybuild.commands import cli
from tests.interpreter import ROOT


def test_the_list_says_of_each_command_what_it_says_itself() -> None:
    context = click.Context(cli)
    own, listed = click.HelpFormatter(width=110), click.HelpFormatter(width=110)
    click.Group.format_commands(cli, context, own)
    cli.format_commands(context, listed)
    assert listed.getvalue() == own.getvalue()
    assert listed.getvalue().count("\n") > len(cli.list_commands(context))


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_needs_no_command_loads_none(option: str) -> None:
    program = f"import sys; sys.argv = ['pybuild', {option!r}]\nfrom pybuild.__main__ import main\n"
    program += "try: main()\nexcept SystemExit: print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines())
    assert {"pybuild.__main__", "click"} <= loaded
    assert not {"pybuild.way", "pybuild.commands.build", "rich", "urllib3", "docker"} & loaded
