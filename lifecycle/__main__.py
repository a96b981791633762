"""The phases as programs of the build image: those of CNB in `/cnb/lifecycle`, and pybuild's own beside them.

The name under which this is started chooses the program, or else the first argument (`python -m lifecycle detector`); each is a
module of `lifecycle.commands`. Everything comes in through flags, `CNB_*` variables and files, and goes out through files and
images (platform.md, "Operations").

Two variables of pybuild's own name files for the process that started the phase: `PYBUILD_DETECTION_PATH` gets the detection
as JSON, also one that found nothing, with the groups after the one that fits; `PYBUILD_ERROR_PATH` gets the error that ended the
phase, which is then not on stderr: the process that started the phase shows it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import NoReturn, Protocol, cast

from lifecycle import __version__
from lifecycle.cnb.api import PLATFORM_APIS, ApiVersion
from lifecycle.cnb.errors import CnbError, render_error
from lifecycle.cnb.jsontext import render_json
from lifecycle.cnb.toml import write_atomically
from lifecycle.errors import ArgumentsError, FileProblem, PlatformApiUnsupported
from lifecycle.flags import Flag, Inputs, parse_flags

PROGRAMS = ("builder", "detector", "executor", "fixer", "generator")

# As shells report a program that SIGINT ended.
_INTERRUPTED = 130


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
    try:
        api = _check_platform_api(env)
        program, arguments = _choose_program(argv)
        command = cast("_Command", importlib.import_module(f"lifecycle.commands.{program}"))
        inputs = parse_flags(program, command.FLAGS, arguments, env)
        if inputs.is_on("version"):
            sys.stdout.write(f"{__version__}\n")
            return 0
        if inputs.arguments:
            raise ArgumentsError(message=f"`{program}` takes no arguments, got `{' '.join(inputs.arguments)}`")
        command.run(inputs, api, env)
    except CnbError as error:
        return _report(error, env)
    except OSError as err:
        return _report(FileProblem(path=err.filename, reason=err.strerror or str(err)), env)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


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
    known = ", ".join(f"`{name}`" for name in PROGRAMS)
    raise ArgumentsError(message=f"no program is named: it must be one of {known}")


def _report(error: CnbError, env: Mapping[str, str]) -> int:
    wanted = env.get("PYBUILD_ERROR_PATH")
    if not wanted or not _write_error(Path(wanted), error):
        sys.stderr.buffer.write(f"{render_error(error)}\n".encode("utf-8", "backslashreplace"))
    return error.exit_code


def _write_error(path: Path, error: CnbError) -> bool:
    """Return whether the error is where the process that started the phase will look for it."""
    values = {
        "exit-code": error.exit_code,
        "summary": error.summary,
        "facts": [{"label": label, "value": value} for label, value in error.facts],
        "hint": error.hint,
    }
    try:
        write_atomically(path, render_json(values).encode("utf-8", "backslashreplace"))
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
