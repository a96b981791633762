"""The phases as programs of the build image: those of CNB in `/cnb/lifecycle`, and pybuild's own beside them.

The name under which this is started chooses the program, or else the first argument (`python -m lifecycle detector`); each is a
module of `lifecycle.commands`. Everything comes in through flags, `CNB_*` variables and files, and goes out through files and
images (platform.md, "Operations").
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NoReturn, Protocol, cast

from lifecycle import __version__
from lifecycle.cnb.api import PLATFORM_APIS, ApiVersion
from lifecycle.errors import ArgumentsError, PlatformApiUnsupported
from lifecycle.flags import Flag, Inputs, parse_flags
from lifecycle.reporting import report_errors

PROGRAMS = (
    "analyzer",
    "builder",
    "creator",
    "detector",
    "exporter",
    "executor",
    "extender",
    "fixer",
    "generator",
    "launcher",
    "rebaser",
    "restorer",
)
# What images are called; of the others an argument is a mistake.
_WITH_ARGUMENTS = frozenset({"analyzer", "creator", "exporter", "rebaser"})
# Takes the command line of another program.
_LAUNCHER = "launcher"


class _Command(Protocol):
    """What a module of `lifecycle.commands` has."""

    FLAGS: Sequence[Flag]

    def run(self, inputs: Inputs, api: ApiVersion, env: Mapping[str, str], /) -> None:
        """Do the work."""


def main() -> NoReturn:
    """Run the program that this process was started as, and exit with its code."""
    sys.exit(run_program(sys.argv, os.environ))


def run_program(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Return the exit code of the program that `argv` names; what is wrong is on stderr."""
    return report_errors(lambda: _run(argv, env), env)


def _run(argv: Sequence[str], env: Mapping[str, str]) -> None:
    api = _check_platform_api(env)
    program, arguments = _choose_program(argv)
    command = cast("_Command", importlib.import_module(f"lifecycle.commands.{program}"))
    if program == _LAUNCHER:
        command.run(Inputs(values={}, arguments=(argv[0], *arguments)), api, env)
        return
    inputs = parse_flags(program, command.FLAGS, arguments, env)
    if inputs.is_on("version"):
        sys.stdout.write(f"{__version__}\n")
        return
    if inputs.arguments and program not in _WITH_ARGUMENTS:
        raise ArgumentsError(message=f"`{program}` takes no arguments, got `{' '.join(inputs.arguments)}`")
    command.run(inputs, api, env)


def _check_platform_api(env: Mapping[str, str]) -> ApiVersion:
    # Before anything else, flags included: an unknown API may have other flags.
    requested = env.get("CNB_PLATFORM_API", "").strip()
    try:
        version = ApiVersion.parse(requested)
    except ValueError as err:
        raise PlatformApiUnsupported(requested=requested) from err
    if version not in PLATFORM_APIS:
        raise PlatformApiUnsupported(requested=requested)
    return version


def _choose_program(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    started_as = PurePath(argv[0]).name if argv else ""
    if started_as in PROGRAMS:
        return started_as, argv[1:]
    if len(argv) > 1 and argv[1] in PROGRAMS:
        return argv[1], argv[2:]
    # `/cnb/process/<type>` is a link to it.
    if argv and PurePath(os.path.realpath(argv[0])).name == _LAUNCHER:
        return _LAUNCHER, argv[1:]
    known = ", ".join(f"`{name}`" for name in PROGRAMS)
    raise ArgumentsError(message=f"no program is named: it must be one of {known}")


if __name__ == "__main__":
    main()
