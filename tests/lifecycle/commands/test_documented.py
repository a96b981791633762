"""docs/lifecycle.md names every flag of the programs that platforms start, as it is."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass

import pytest

from lifecycle.__main__ import PROGRAMS
from lifecycle.flags import Flag
from tests.interpreter import ROOT

_TEXT = (ROOT / "docs" / "lifecycle.md").read_text(encoding="utf-8")
# Those that only `pybuild` starts.
_OWN = frozenset({"executor", "fixer", "generator"})
_PUBLIC = tuple(program for program in PROGRAMS if program not in _OWN)
_NAME = re.compile(r"`-([a-z-]+)`")
_VARIABLE = re.compile(r"`([A-Z_]+)`")
_PROGRAM = re.compile(rf"\b({'|'.join(PROGRAMS)})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table of flags."""

    names: tuple[str, ...]
    variables: tuple[str, ...]
    default: str
    programs: frozenset[str]


def flags_of(program: str) -> dict[str, Flag]:
    return {flag.name: flag for flag in importlib.import_module(f"lifecycle.commands.{program}").FLAGS}


def table_of_flags() -> list[Row]:
    cells = [line.strip("|").split("|") for line in _TEXT.splitlines() if line.startswith("| `-")]
    return [
        Row(
            names=tuple(_NAME.findall(names)),
            variables=tuple(_VARIABLE.findall(variables)),
            default=default.strip(),
            programs=programs_of(programs),
        )
        for names, variables, default, programs in cells
    ]


def programs_of(cell: str) -> frozenset[str]:
    """Those that a cell names, or all but those."""
    named = frozenset(_PROGRAM.findall(re.split("[;:]", cell)[0]))
    return frozenset(_PUBLIC) - named if cell.strip().startswith("all") else named


@pytest.mark.parametrize("program", _PUBLIC)
def test_each_program_has_the_flags_that_are_documented(program: str) -> None:
    documented = {name for row in table_of_flags() if program in row.programs for name in row.names}
    # Platforms start the launcher with the command line of another program.
    assert documented == flags_of(program).keys()


def test_variables_and_defaults_are_those_that_are_documented() -> None:
    for row in table_of_flags():
        for program in row.programs:
            flags = [flags_of(program)[name] for name in row.names]
            assert {flag.variable for flag in flags} - {""} == set(row.variables), row
            assert {f"`{flag.default}`" for flag in flags if flag.default} <= set(row.default.split(", else ")), row


def test_each_program_is_documented() -> None:
    rows = [line for line in _TEXT.splitlines() if line.startswith("| `") and not line.startswith("| `-")]
    assert {row.split("`")[1] for row in rows} == set(_PUBLIC)
