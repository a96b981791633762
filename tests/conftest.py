"""Notes how the tests end that show a row of docs/conformance.md, and compares the table with it at the end of the run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conformance.rows import IDS
from tests.conformance.table import (
    TABLE,
    Outcome,
    contradictions,
    make_table,
    read_table,
    render_table,
    scan_tests,
)

_OUTCOMES = pytest.StashKey[list[Outcome]]()
_WRONG = pytest.StashKey[list[str]]()
_PROPERTY = "requirement"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write docs/conformance.md as this run says")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = []
    config.stash[_WRONG] = []
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Table(config), "conformance table")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        # The order of marks is of no use to anybody, and one row may be named by a function and its file.
        rows = sorted({row for mark in item.iter_markers("requirement") for row in mark.args})
        unknown = [row for row in rows if row not in IDS]
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: no row of the checklist is called {', '.join(unknown)}")
        item.user_properties += [(_PROPERTY, row) for row in rows]


class _Table:
    """Only in the process that has all reports, which is not a worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._outcomes = config.stash[_OUTCOMES]
        self._wrong = config.stash[_WRONG]
        self._writes = bool(config.getoption("--write-table"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        expected = str(getattr(report, "wasxfail", ""))
        if (report.passed and report.when != "call") or (report.skipped and not expected):
            return
        file, _, name = report.nodeid.partition("::")
        reason = "" if report.passed else expected or f"`{name}` failed"
        function = name.partition("[")[0].rpartition("::")[2]
        self._outcomes += [
            Outcome(row=str(row), file=file.removeprefix("tests/"), function=function, reason=reason)
            for key, row in report.user_properties
            if key == _PROPERTY
        ]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._outcomes:
            return
        shown = scan_tests()
        if self._writes:
            TABLE.write_text(render_table(make_table(read_table(), shown, self._outcomes)), encoding="utf-8")
        self._wrong += contradictions(read_table(), shown, self._outcomes)
        if self._wrong and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._wrong:
            terminalreporter.section("docs/conformance.md does not fit this run", red=True)
            for line in self._wrong:
                terminalreporter.write_line(line)
            terminalreporter.write_line("`pytest -m requirement --write-table` writes it anew")
