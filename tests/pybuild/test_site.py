"""What a listener raises, and what ends the work of a function of the library."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import pybuild
from lifecycle.cnb.command import CommandTimeout
from pybuild.clock import Clock
from pybuild.events import Event, ignore_event
from pybuild.log import Log
from pybuild.site import open_site


class HangUp:
    """Writes to a connection that its reader has left."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        raise BrokenPipeError(len(self.heard))


def test_what_a_listener_raises_ends_the_work_and_is_raised_once(tmp_path: Path) -> None:
    hang_up = HangUp()
    done = list[str]()

    def work(log: Log) -> None:
        try:
            with log.step("writing"):
                done.append("written")
        finally:
            log.warning("what was begun is removed")
            done.append("removed")

    with pytest.raises(BrokenPipeError, match="1"), open_site(hang_up, None, tmp_path, {}) as site:
        work(site.log)
    assert len(hang_up.heard) == 1
    assert done == ["removed"]


def test_what_a_listener_raises_is_no_trouble_that_work_knows_how_to_go_on_after(tmp_path: Path) -> None:
    # As a push does where a connection breaks
    hang_up = HangUp()
    with (
        pytest.raises(BrokenPipeError),
        open_site(hang_up, None, tmp_path, {}) as site,
        contextlib.suppress(OSError),
    ):
        site.log.info("sent")


def test_who_waits_for_another_build_has_a_time_limit(tmp_path: Path) -> None:
    cancellation = pybuild.Cancellation()
    with open_site(ignore_event, None, tmp_path, {}) as site:
        clock = Clock(log=site.log, limit_s=1.5, cancellation=cancellation)
        with pytest.raises(
            pybuild.TimeLimitReached, match=r"1\.5 seconds was reached in the phase `waiting`"
        ) as caught:
            run_out(clock)
        assert caught.value.exit_code == 23
        cancellation.cancel()
        with pytest.raises(pybuild.Cancelled):
            run_out(clock)


def run_out(clock: Clock) -> None:
    with clock.waiting():
        raise CommandTimeout(argv=("lock",), elapsed_s=0, output="")
