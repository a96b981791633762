from __future__ import annotations

import io

import pytest
from rich.console import Console

from pybuild.display import PlainDisplay
from pybuild.events import EventLog, last_state
from pybuild.live import LiveDisplay
from pybuild.terminal import Terminal, Verbosity


def log_into(stream: io.StringIO, verbosity: Verbosity) -> EventLog:
    return EventLog(Terminal(display=PlainDisplay(stream), verbosity=verbosity).show)


def test_a_terminal_cannot_be_steered_by_what_a_build_prints() -> None:
    assert last_state("\x1b]0;title\x07\x1b[2Jx") == "\\x1b]0;title\\x07\\x1b[2Jx"


def test_of_a_redrawn_line_the_last_state_is_shown() -> None:
    assert last_state("10%\r50%\r100%\r\n") == "100%"


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [
        (Verbosity.QUIET, ["warning: w"]),
        (Verbosity.NORMAL, ["i", "notice: n", "warning: w", "working ..."]),
        (Verbosity.VERBOSE, ["i", "d", "notice: n", "warning: w", "working ..."]),
    ],
)
def test_verbosity(verbosity: Verbosity, expected: list[str]) -> None:
    stream = io.StringIO()
    log = log_into(stream, verbosity)
    log.info("i")
    log.detail("d")
    log.notice("n")
    log.warning("w")
    with log.step("working"):
        pass
    assert stream.getvalue().splitlines() == expected


def test_a_transfer_shows_how_far_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = LiveDisplay(console, is_live=True)
    log = EventLog(Terminal(display=display, verbosity=Verbosity.NORMAL).show)
    with log.phase("EXPORT"), log.progress("Pushing x", 2_000_000) as add:
        add(1_300_000)
        with console.capture() as captured:
            console.print(display)
    assert "EXPORT 0 s · Pushing x 1.3 of 2.0 MB 0 s" in captured.get()


def test_markup_in_a_line_is_text() -> None:
    stream = io.StringIO()
    log_into(stream, Verbosity.NORMAL).info("numpy[extra] :smile: [bold]")
    assert stream.getvalue() == "numpy[extra] :smile: [bold]\n"


def test_colours_and_plain_lines_say_the_same() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    for log in (
        log_into(plain, Verbosity.NORMAL),
        EventLog(Terminal(display=LiveDisplay.on(coloured, color=True, live=False), verbosity=Verbosity.NORMAL).show),
    ):
        log.info("numpy[extra] :smile: [bold]")
        log.warning("x" * 500)
        with log.phase("export"):
            log.notice("\x1b[2Jn")
    assert coloured.getvalue() == plain.getvalue()
