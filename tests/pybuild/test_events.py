from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from pybuild.events import (
    Event,
    EventLog,
    Level,
    LogLine,
    PhaseEnded,
    PhaseStarted,
    Progress,
    StepEnded,
    StepStarted,
    event_to_json,
)


def test_lines_have_levels_and_nothing_that_a_terminal_obeys() -> None:
    events: list[Event] = []
    log = EventLog(events.append)
    log.detail("d")
    log.info("10%\r50%\r100%\n")
    log.notice("\x1b[2Jn")
    log.warning("w")
    assert events == [
        LogLine(level=Level.DETAIL, text="d"),
        LogLine(level=Level.INFO, text="100%"),
        LogLine(level=Level.NOTICE, text="\\x1b[2Jn"),
        LogLine(level=Level.WARNING, text="w"),
    ]


def test_phases_and_steps_have_a_beginning_and_an_end() -> None:
    events: list[Event] = []
    log = EventLog(events.append)
    with log.phase("detect"), log.step("looking"):
        pass
    with pytest.raises(ValueError, match="of the test"), log.phase("build"), log.step("installing"):
        raise ValueError("of the test")
    assert [type(event) for event in events] == 2 * [PhaseStarted, StepStarted, StepEnded, PhaseEnded]
    assert [event.succeeded for event in events if isinstance(event, (StepEnded, PhaseEnded))] == 2 * [True] + 2 * [
        False
    ]
    assert [event.number for event in events if isinstance(event, (StepStarted, StepEnded))] == [1, 1, 2, 2]


def test_progress_is_said_sometimes_and_at_the_end() -> None:
    events: list[Event] = []
    with EventLog(events.append).progress("Pushing x", 10_000) as add:
        for _ in range(10_000):
            add(1)
    said = of_kind(events)
    assert said[-1] == Progress(number=1, title="Pushing x", done=10_000, total=10_000)
    assert len(said) < 1000
    assert sorted(one.done for one in said) == [one.done for one in said]


def test_one_event_is_told_at_a_time() -> None:
    inside, most = 0, 0

    def on_event(_: Event) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.001)
        inside -= 1

    log = EventLog(on_event)
    threads = [threading.Thread(target=lambda: [log.info("x") for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (LogLine(level=Level.INFO, text="x"), {"event": "LogLine", "level": "info", "text": "x"}),
        (
            PhaseEnded(name="build", seconds=1.5, succeeded=True),
            {"event": "PhaseEnded", "name": "build", "seconds": 1.5, "succeeded": True},
        ),
        (
            StepStarted(number=1, title="t", total=None),
            {"event": "StepStarted", "number": 1, "title": "t", "total": None},
        ),
    ],
)
def test_events_as_json(event: Event, expected: object) -> None:
    assert json.loads(json.dumps(event_to_json(event))) == expected


def of_kind(events: Sequence[Event]) -> list[Progress]:
    return [event for event in events if isinstance(event, Progress)]
