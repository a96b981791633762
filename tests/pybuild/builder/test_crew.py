"""Programs that run side by side end together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandNotStarted
from pybuild.builder.crew import Crew, CrewStopped, run_side_by_side
from tests.processes import has_ended

ENV = {"PATH": os.defpath}


def shell(crew: Crew, script: str) -> Callable[[], int]:
    return lambda: crew.run(["sh", "-c", script], env=ENV).status


def test_results_come_in_the_order_of_the_tasks() -> None:
    crew = Crew()
    assert run_side_by_side(crew, [shell(crew, "sleep 0.2; exit 3"), shell(crew, "exit 4")]) == (3, 4)


def test_lines_are_seen_as_they_come() -> None:
    seen: list[str] = []
    result = Crew().run(["sh", "-c", "echo out; echo err >&2; kill -9 $$"], env=ENV, on_line=seen.append)
    assert seen == ["out", "err"]
    assert result.output == "out\nerr\n"
    assert result.status == 137


def test_an_error_ends_the_others_with_all_they_started(tmp_path: Path) -> None:
    crew = Crew()
    child = tmp_path / "child"

    def fail() -> int:
        while not child.exists():
            time.sleep(0.01)
        raise ValueError("mine")

    started = time.monotonic()
    script = f"sleep 60 & echo $! > {tmp_path}/pid; mv {tmp_path}/pid {child}; wait"
    with pytest.raises(ValueError, match="mine"):
        run_side_by_side(crew, [shell(crew, script), fail])
    assert time.monotonic() - started < 20
    assert has_ended(int(child.read_text()))


def test_a_stopped_crew_starts_nothing_more() -> None:
    crew = Crew()
    crew.stop()
    with pytest.raises(CrewStopped):
        crew.run(["true"], env=ENV)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandNotStarted, match="no-such-program"):
        Crew().run(["/nonexistent/no-such-program"], env=ENV)
