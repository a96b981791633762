"""A document of `docs/` as a person follows it: its files are written, its commands run in one shell, their output is what it shows.

A file is a block behind a line that ends in its name (`notes/index.md`:). Commands are the lines with `$ ` of a block of `console`; what
follows them is their output. There, `...` stands for any lines, `…` for the rest of a line.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.documents import read_blocks

_MARK = "@@@ end of a command:"
_PATIENCE_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that the reader runs, and what is shown of its output."""

    line: str
    shown: tuple[str, ...]


def read_document(text: str) -> Iterator[File | Command]:
    """What the reader does, in order."""
    for block in read_blocks(text):
        if block.name is not None:
            yield File(name=block.name, text=block.text)
        elif block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
                line, *shown = part.splitlines()
                yield Command(line=line, shown=tuple(shown))


def follow(text: str, directory: Path, env: Mapping[str, str]) -> int:
    """How many commands the document has; all of them are run, and files written, in `directory`.

    Raises AssertionError where a command fails that is not followed by `echo $?`, or says something else than what is shown.
    """
    steps = list(read_document(text))
    with subprocess.Popen(
        ["bash", "--norc"],
        cwd=directory,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if isinstance(step, File):
                path = directory / step.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
                continue
            output, status = _run(shell, step.line)
            is_expected = isinstance(following, Command) and following.line == "echo $?"
            assert status == 0 or is_expected, f"`{step.line}` ended with {status}:\n{output}"
            assert shows(step.shown, output), f"`{step.line}` said:\n{output}"
        assert shell.stdin is not None
        shell.stdin.close()
        assert shell.wait(_PATIENCE_S) == 0
    return sum(isinstance(step, Command) for step in steps)


def shows(shown: tuple[str, ...], output: str) -> bool:
    """Whether a command said what a document shows."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace("…", "[^\n]*") + r"\n" for line in shown
    )
    return re.fullmatch(pattern, output) is not None


def _run(shell: subprocess.Popen[str], line: str) -> tuple[str, int]:
    assert shell.stdin is not None
    assert shell.stdout is not None
    # The status is that of the command again for whatever comes next.
    shell.stdin.write(f'{line}\n_s=$?; echo "{_MARK}$_s"; (exit $_s)\n')
    shell.stdin.flush()
    lines: list[str] = []
    for said in shell.stdout:
        if _MARK in said:
            before, _, status = said.partition(_MARK)
            return "".join([*lines, before]), int(status)
        lines.append(said)
    raise AssertionError(f"the shell ended at `{line}`:\n{''.join(lines)}")
