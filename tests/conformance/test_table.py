"""The table of docs/conformance.md fits the tests that are there, and is compared with what they say."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.rows import IDS, ROWS
from tests.conformance.table import (
    HOLDS,
    TABLE,
    UNTESTED,
    Entry,
    Outcome,
    Shown,
    contradictions,
    files_of,
    make_table,
    read_table,
    render_table,
    scan_tests,
)

SHOWN = (
    Shown(row="DET-01", file="a.py", function="test_one"),
    Shown(row="DET-01", file="b.py", function="test_two"),
    Shown(row="DET-02", file="c.py"),
)


def passed(row: str, file: str, function: str) -> Outcome:
    return Outcome(row=row, file=file, function=function)


ONE, TWO = passed("DET-01", "a.py", "test_one"), passed("DET-01", "b.py", "test_two")
FAILED = Outcome(row="DET-01", file="b.py", function="test_two", reason="it is not so")


def test_the_committed_table_is_the_one_that_is_written() -> None:
    assert render_table(read_table()) == TABLE.read_text(encoding="utf-8")


def test_the_table_names_the_tests_that_carry_each_row() -> None:
    shown = scan_tests()
    assert {one.row for one in shown} <= IDS
    table = read_table()
    assert {row.id: table[row.id].files for row in ROWS} == {row.id: files_of(row.id, shown) for row in ROWS}
    untested = {row.id for row in ROWS if not files_of(row.id, shown)}
    assert {row for row, entry in table.items() if entry.holds == UNTESTED} == untested


def test_rows_are_found_in_decorators_and_marks_of_files(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\npytestmark = [pytest.mark.requirement('A')]\n"
        "@pytest.mark.requirement('B', 'C')\ndef test_x(): ...\n"
    )
    assert scan_tests(tmp_path) == (
        Shown(row="A", file="test_x.py"),
        Shown(row="B", file="test_x.py", function="test_x"),
        Shown(row="C", file="test_x.py", function="test_x"),
    )


def test_a_row_holds_when_all_that_shows_it_passed() -> None:
    before = {"DET-01": Entry(holds="no: it was not so", files=())}
    assert make_table(before, SHOWN, [ONE, TWO])["DET-01"] == Entry(holds=HOLDS, files=("a.py", "b.py"))
    assert make_table(before, SHOWN, [ONE])["DET-01"].holds == "no: it was not so", "only a part has run"
    assert make_table(before, SHOWN, [passed("DET-02", "c.py", "test_any")])["DET-02"].holds == HOLDS
    assert make_table(before, SHOWN, [ONE, FAILED])["DET-01"].holds == "no: it is not so"
    assert make_table(before, SHOWN, [])["GEN-01"].holds == UNTESTED


def test_a_run_that_differs_from_the_table_is_noticed() -> None:
    table = {"DET-01": Entry(holds=HOLDS, files=())}
    assert contradictions(table, SHOWN, [ONE, TWO]) == []
    assert contradictions(table, SHOWN, [FAILED]) == ["DET-01: the table says `yes`, the run says `no: it is not so`"]
    refuted = {"DET-01": Entry(holds="no: it is not so", files=())}
    assert contradictions(refuted, SHOWN, [FAILED]) == []
    assert contradictions(refuted, SHOWN, [ONE, TWO]) != []
