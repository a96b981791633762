"""`RUN` and what else has a command, in the words of older builders: https://docs.docker.com/reference/dockerfile/#shell-and-exec-form."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

from buildpacks.dockerfile.instruction import Flag, Instruction
from buildpacks.dockerfile.line import parse_heredoc_sign
from buildpacks.dockerfile.mounts import Mount, parse_mount
from buildpacks.dockerfile.scope import DEFAULT_SHELL
from buildpacks.dockerfile.work import Work
from buildpacks.dockerfile.writing import write_exec_form, write_instruction, write_mount, write_script

# MAX_ARG_STRLEN of Linux
_LONGEST_ARGUMENT = 128 * 1024
# What BuildKit does anyway, and older builders have no flags for.
_DEFAULTS = {("network", "default"), ("security", "sandbox")}
# As Linux reads it: a program, and the rest of the line as one argument.
_SHEBANG = re.compile(r"#![ \t]*([^ \t\n]+)[ \t]*([^\n]*)")


def lower_command(work: Work, instruction: Instruction) -> None:
    """Write `RUN`, `CMD`, `ENTRYPOINT`, `SHELL` or `HEALTHCHECK`. Raises `InvalidWord`."""
    if instruction.keyword == "SHELL" and instruction.words:
        work.scope.shell = instruction.words
        work.write(instruction, write_instruction("SHELL", (), write_exec_form(instruction.words)))
    elif instruction.keyword == "RUN":
        _lower_run(work, instruction)
    elif instruction.keyword in ("CMD", "ENTRYPOINT") and instruction.words is None and _needs_shell(work, instruction):
        words = (*work.shell(), instruction.rest)
        work.write(instruction, write_instruction(instruction.keyword, instruction.flags, write_exec_form(words)))
    else:
        work.write_as_it_is(instruction)


def _needs_shell(work: Work, instruction: Instruction) -> bool:
    """Whether the text of a `CMD` or `ENTRYPOINT` has to stand behind its shell: buildah takes `/bin/sh` whatever `SHELL` says."""
    return work.shell() != DEFAULT_SHELL or not _is_for_a_shell(instruction.rest)


def _is_for_a_shell(text: str) -> bool:
    """Whether every builder takes `text` for a command line as it stands."""
    if text.endswith("\\"):
        return False
    if not text.startswith("["):
        return True
    try:
        # Older builders do not mind what follows an array.
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return True
    return False


def _lower_run(work: Work, instruction: Instruction) -> None:
    flags = tuple(flag for one in instruction.flags if (flag := _lower_flag(work, one)) is not None)
    if flags != instruction.flags:
        work.check_values(replace(instruction, flags=flags))
    if not instruction.heredocs:
        rest = instruction.rest
        if instruction.words is None and not _is_for_a_shell(rest):
            rest = write_exec_form((*work.shell(), rest))
        work.write(instruction, write_instruction("RUN", flags, rest))
        return
    script, has_head = _script(instruction)
    size = len(script.encode("utf-8", "surrogateescape"))
    if size >= _LONGEST_ARGUMENT:
        message = f"the here-document has {size} bytes; a command can have {_LONGEST_ARGUMENT}"
        change = "copy the script into the image, and run it there"
        work.problems.add(instruction.line, "too-large", message, change, "RUN")
        return
    work.write(instruction, write_script("RUN", flags, work.shell(), script, has_head=has_head))


def _lower_flag(work: Work, flag: Flag) -> Flag | None:
    if (flag.name, flag.value) in _DEFAULTS:
        return None
    if flag.name != "mount" or flag.value is None:
        return flag
    mount = parse_mount(flag.value)
    options: list[tuple[str, str | None]] = []
    for name, value in mount.options:
        if name == "from" and value:
            options.append((name, work.source_written(value)))
        elif value is not None and not work.is_as_written(value):
            options.append((name, work.text_of(work.value_of(value))))
        else:
            options.append((name, value))
    kind = mount.type if work.is_as_written(mount.type) else work.text_of(work.value_of(mount.type))
    lowered = Mount(type=kind, options=tuple(options))
    return flag if lowered == mount else replace(flag, value=write_mount(lowered))


def _script(instruction: Instruction) -> tuple[str, bool]:
    """What the shell of `RUN` gets where there are here-documents, by dispatchRun in dockerfile2llb/convert.go of BuildKit.

    The second is whether the first line of the script stands where the instruction does.
    """
    first = instruction.heredocs[0]
    if parse_heredoc_sign(instruction.rest) is None:
        documents = (f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)
        return instruction.rest + "".join(documents), True
    shebang = _SHEBANG.match(first.content)
    if shebang is None:
        return first.content, False
    # BuildKit makes a program of it, in a file that is gone afterwards. Older builders can only read it from the shell.
    words = [shebang[1], *([argument] if (argument := shebang[2].rstrip(" \t")) else []), "/dev/fd/3"]
    end = _free_word(first.content)
    return f"exec {shlex.join(words)} 3<<'{end}'\n{first.content}{end}", True


def _free_word(content: str) -> str:
    """A word that is no line of `content`."""
    lines = set(content.split("\n"))
    number = 0
    while (word := f"EOF{number or ''}") in lines:
        number += 1
    return word
