"""What the commands of `RUN` do that hurts later: caches left behind, questions that nobody answers, versions left to chance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from buildpacks.dockerfile.arguments import InvalidWord
from buildpacks.dockerfile.commands import Command, find_commands
from buildpacks.dockerfile.instruction import Instruction
from buildpacks.dockerfile.mounts import parse_mount

_LISTS = "/var/lib/apt"
_APT = frozenset({"apt", "apt-get", "aptitude"})
# Options of apt that are followed by a value.
_APT_VALUES = frozenset({"-o", "-t", "-c", "--option", "--target-release", "--config-file", "-a", "--host-architecture"})  # fmt: skip
_YES = re.compile(r"-(?!-)[a-z]*y[a-z]*|-(?!-)[a-z]*q[a-z]*q[a-z]*|--yes|--assume-yes|--force-yes|-y?qq", re.IGNORECASE)
_PIP = re.compile(r"pip[0-9.]*")
_PYTHON = re.compile(r"python[0-9.]*")
# What changes the shell of this `RUN`, and nothing else.
_WITHOUT_EFFECT = frozenset({"cd", "export", "source", "alias"})
_ANACONDA = re.compile(r"(?:ana|mini)conda")

Found = tuple[int, str, str]


def find_run_warnings(runs: Sequence[Instruction], *, base: str, has_constraints: bool) -> Iterator[Found]:
    """Yield line, message and what to do for the `RUN` instructions of one stage, in their order."""
    updated_at: int | None = None
    for run in runs:
        commands = find_commands(run)
        apt = tuple(command for command in commands if command[0] in _APT)
        if apt:
            yield from _of_apt(run, apt, commands, updated_at)
            if any(_subcommand(command) == "update" for command in apt):
                updated_at = run.line
        yield from _of_pip(run, commands, has_constraints=has_constraints)
        yield from _of_conda(run, commands, base)
        if commands and all(command[0] in _WITHOUT_EFFECT for command in commands):
            message = f"`{commands[0][0]}` has an effect on this `RUN` only, and nothing follows it there"
            yield run.line, message, "put it into the `RUN` that needs it, with `&&`; use `ENV` for variables"


def _of_apt(
    run: Instruction, apt: Sequence[Command], commands: Sequence[Command], updated_at: int | None
) -> Iterator[Found]:
    updates = any(_subcommand(command) == "update" for command in apt)
    installs = [command for command in apt if _subcommand(command) in ("install", "upgrade", "dist-upgrade")]
    keeps_lists = _has_cache_mount(run) or any(_removes_lists(command) for command in commands)
    if updates and not keeps_lists:
        change = "end the same `RUN` with `&& rm -rf /var/lib/apt/lists/*`"
        yield run.line, "the package lists of apt stay in the image", change
    if not installs:
        return
    if not updates and not _has_cache_mount(run):
        lists = "without lists" if updated_at is None else f"with the lists of line {updated_at}"
        message = f"`{installs[0][0]} install` {lists} may ask for packages that the distribution has no more"
        yield run.line, message, "begin the same `RUN` with `apt-get update &&`"
    answers = any(command[0] == "yes" for command in commands)
    asking = next((command for command in installs if not _says_yes(command)), None)
    if asking is not None and not answers:
        message = f"`{asking[0]} {_subcommand(asking)}` asks whether to go on, and nobody answers"
        yield run.line, message, f"write `{asking[0]} {_subcommand(asking)} -y`"


def _subcommand(command: Command) -> str:
    words = iter(command[1:])
    for word in words:
        if word in _APT_VALUES:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _says_yes(command: Command) -> bool:
    return any(_YES.fullmatch(word) or "assume-yes" in word.lower() for word in command[1:])


def _removes_lists(command: Command) -> bool:
    """`rm -rf /var/lib/apt/lists/*`, `find /var/lib/apt/lists -delete` and their like."""
    return command[0] in ("rm", "find") and any(_LISTS in word or word.startswith("/var/lib/*") for word in command)


def _has_cache_mount(run: Instruction) -> bool:
    """Whether the lists are in a cache, or on a file system that goes away."""
    for flag in run.flags:
        if flag.name != "mount":
            continue
        try:
            mount = parse_mount(flag.value or "")
        except InvalidWord:
            continue
        if mount.type in ("cache", "tmpfs") and (mount.option("target") or "").startswith(_LISTS):
            return True
    return False


def _of_pip(run: Instruction, commands: Sequence[Command], *, has_constraints: bool) -> Iterator[Found]:
    if not has_constraints:
        return
    installs = [words for words in map(_pip_install, commands) if words is not None]
    without = next((words for words in installs if not any(map(_names_constraints, words))), None)
    if without is None:
        return
    if "--isolated" in without:
        message = "`pip install --isolated` leaves out the constraints that are configured"
        yield run.line, message, "leave `--isolated` out, or add `--constraint` with their file or URL"
    else:
        message = "`pip install` does not name the constraints that are configured; only this builder adds them"
        yield run.line, message, "add `--constraint` with their file or URL, so that they hold wherever it is built"


def _pip_install(command: Command) -> Command | None:
    """The words of `pip install` behind the program, however pip is called; `None` for other commands."""
    words: Command = ()
    if _PIP.fullmatch(command[0]):
        words = command[1:]
    elif command[0] == "uv" and command[1:2] == ("pip",):
        words = command[2:]
    elif _PYTHON.fullmatch(command[0]) and command[1:3] == ("-m", "pip"):
        words = command[3:]
    return words if "install" in words else None


def _names_constraints(word: str) -> bool:
    return word.startswith(("--constraint", "--build-constraint")) or (
        word.startswith("-c") and not word.startswith("--")
    )


def _of_conda(run: Instruction, commands: Sequence[Command], base: str) -> Iterator[Found]:
    """Anaconda limits downloads from its own channels, and its licence asks larger organisations to pay for them
    (https://anaconda.com/docs/tools/working-with-conda/reference/default-channels).
    """
    if not _ANACONDA.search(base):
        return
    for command in commands:
        if command[0] == "conda" and _subcommand(command) in ("install", "create", "update"):
            if "--override-channels" not in command:
                message = "`conda` installs from Anaconda's own channels, which are not free for everybody"
                yield run.line, message, "add `--override-channels --channel conda-forge`"
            return
