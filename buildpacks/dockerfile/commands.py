"""The commands of a `RUN`, as far as they can be told apart without running a shell. For warnings only: it guesses."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from buildpacks.dockerfile.instruction import Heredoc, Instruction

Command = tuple[str, ...]
# Nobody reads warnings about a script of this size.
_READ = 50_000
_TOKEN = re.compile(
    r"(?P<end>&&|\|\||[;|&\n()])|(?P<white>[ \t\r]+)|(?P<comment>(?:(?<=[\s;])|\A)\#[^\n]*)"
    r"|(?P<word>(?:[^\s;|&()'\"\\]|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\")+)|(?P<other>.)",
    re.DOTALL,
)
_QUOTED = re.compile(r"'([^']*)'|\\(.)|\"", re.DOTALL)
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_BEFORE_COMMANDS = frozenset({"if", "then", "else", "do", "while", "until", "!", "{", "exec", "time", "sudo", "env", "nice"})  # fmt: skip
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def find_commands(instruction: Instruction) -> tuple[Command, ...]:
    """Return the commands of a `RUN`, each as its words; those of shell scripts in it too. Programs are without directories."""
    if instruction.words is not None:
        return _of_words(instruction.words)
    scripts = [instruction.rest]
    for heredoc in instruction.heredocs:
        if _is_for_shell(instruction.rest, heredoc):
            scripts.append(heredoc.content)
    return tuple(command for script in scripts for command in _of_script(script[:_READ]))


def _is_for_shell(rest: str, heredoc: Heredoc) -> bool:
    first_line = heredoc.content.partition("\n")[0]
    if first_line.startswith("#!"):
        return PurePosixPath(first_line.split()[-1]).name in _SHELLS
    program = rest.split("<<", 1)[0].split()
    return not program or PurePosixPath(program[0]).name in _SHELLS


def _of_script(script: str) -> tuple[Command, ...]:
    commands: list[Command] = []
    words: list[str] = []
    for token in _TOKEN.finditer(script):
        if token["end"]:
            commands.extend(_of_words(tuple(words)))
            words = []
        elif token["word"]:
            words.append(_QUOTED.sub(lambda match: match[1] or match[2] or "", token["word"]))
    commands.extend(_of_words(tuple(words)))
    return tuple(commands)


def _of_words(words: Command) -> tuple[Command, ...]:
    start = 0
    while start < len(words) and (words[start] in _BEFORE_COMMANDS or _ASSIGNMENT.match(words[start])):
        start += 1
    if start == len(words):
        return ()
    command = (PurePosixPath(words[start]).name or words[start], *words[start + 1 :])
    if command[0] in _SHELLS:
        script = next((index for index, word in enumerate(command) if re.fullmatch(r"-[a-z]*c", word)), None)
        if script is not None and script + 1 < len(command):
            return _of_script(command[script + 1])
    return (command,)
