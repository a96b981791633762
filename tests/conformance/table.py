"""docs/conformance.md: which rows hold, made from a test run and compared with every later one.

`pytest -m requirement --write-table` runs what shows the rows and writes the table. A run of fewer tests writes only the rows of
which it ran all tests. Any run fails at its end when a row is not as the table says.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.rows import IDS, ROWS, Row

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "conformance.md"
HOLDS = "yes"
UNTESTED = "no: no test shows it"
_HEAD = """# Conformance

What the CNB specifications ask of a lifecycle on Linux (platform, buildpack and distribution; Platform API 0.12 to 0.15, Buildpack API
0.10 to 0.12), and whether it holds here. Each row is shown by black-box tests: the programs are started as a platform starts them, on
directories made for the purpose, and images are read as anybody would. The table is made from the run of those tests by
`pytest -m requirement --write-table`; a run fails when a row is not as it says.

*By* says who asks: S is a MUST of the specification, s a SHOULD or MAY, R what the reference lifecycle does where the specification is
silent. Where the two differ, a row `DIF-…` has what pybuild does, and whose way that is.

| row | by | what must hold | holds | shown in `tests/` |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the table: whether it holds, and the test files that show it, below tests/."""

    holds: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A test that carries a row, by file and function (a whole file has no function)."""

    row: str
    file: str
    function: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a test ended that carries a row. `reason` empty: it passed."""

    row: str
    file: str
    function: str
    reason: str = ""


def scan_tests(directory: Path = ROOT / "tests") -> tuple[Shown, ...]:
    """Return which tests carry which rows, from the sources alone: a run has only some of the tests."""
    found = []
    for path in sorted(directory.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark.requirement(" in source:
            file = path.relative_to(directory).as_posix()
            found += [Shown(row=row, file=file, function=function) for row, function in _scan(ast.parse(source))]
    return tuple(found)


def _scan(tree: ast.AST, function: str = "") -> Iterable[tuple[str, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "requirement":
            yield from ((str(argument.value), function) for argument in node.args if isinstance(argument, ast.Constant))
        yield from _scan(node, node.name if isinstance(node, ast.FunctionDef) else function)


def judge(row: str, shown: Iterable[Shown], outcomes: Iterable[Outcome]) -> str | None:
    """Return what a run says of a row; `None` where it did not run all that shows it."""
    own = [outcome for outcome in outcomes if outcome.row == row]
    carriers = [one for one in shown if one.row == row]
    if not carriers:
        return UNTESTED
    ran = {(outcome.file, name) for outcome in own for name in (outcome.function, "")}
    reasons = dict.fromkeys(outcome.reason for outcome in own if outcome.reason)
    if reasons:
        return f"no: {'; '.join(reasons)}"
    return HOLDS if all((one.file, one.function) in ran for one in carriers) else None


def contradictions(table: Mapping[str, Entry], shown: Iterable[Shown], outcomes: Iterable[Outcome]) -> list[str]:
    """Return what a run says that the table does not."""
    shown, outcomes = tuple(shown), tuple(outcomes)
    wrong = []
    for row in sorted({outcome.row for outcome in outcomes}):
        said = judge(row, shown, outcomes)
        written = table[row].holds if row in table else UNTESTED
        if said is not None and said != written:
            wrong.append(f"{row}: the table says `{written}`, the run says `{said}`")
    return wrong


def files_of(row: str, shown: Iterable[Shown]) -> tuple[str, ...]:
    """Return the files that the table names for a row."""
    return tuple(sorted({one.file for one in shown if one.row == row}))


def make_table(before: Mapping[str, Entry], shown: Iterable[Shown], outcomes: Iterable[Outcome]) -> Mapping[str, Entry]:
    """Return the table after a run: what it did not run stands as it was."""
    shown, outcomes = tuple(shown), tuple(outcomes)
    made = {}
    for row in ROWS:
        said = judge(row.id, shown, outcomes)
        kept = before[row.id].holds if row.id in before else UNTESTED
        made[row.id] = Entry(holds=kept if said is None else said, files=files_of(row.id, shown))
    return made


def render_table(table: Mapping[str, Entry]) -> str:
    """Return the text of docs/conformance.md."""
    lines = [_render_row(row, table[row.id]) for row in ROWS]
    holding = sum(entry.holds == HOLDS for entry in table.values())
    return f"{_HEAD}{''.join(lines)}\n{holding} of {len(ROWS)} rows hold.\n"


def _render_row(row: Row, entry: Entry) -> str:
    text = f"{row.text} ({row.remark})" if row.remark else row.text
    files = ", ".join(f"`{file}`" for file in entry.files)
    holds = entry.holds.replace("|", "\\|").replace("\n", " ")
    return f"| {row.id} | {row.source} | {text} | {holds} | {files} |\n"


def read_table(path: Path = TABLE) -> Mapping[str, Entry]:
    """Return the table that is committed; empty when there is none."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")]
        if len(cells) == 5 and cells[0] in IDS:
            files = tuple(file.strip(" `") for file in cells[4].split(",") if file.strip())
            found[cells[0]] = Entry(holds=cells[3].replace("\0", "|"), files=files)
    return found
