from __future__ import annotations

import sys
import threading
import time
from types import FrameType

import pytest

from lifecycle.cnb.command import CommandTimeout, run_command
from lifecycle.cnb.deadline import NEVER, Cancellation, Deadline


def test_what_has_no_end_has_time() -> None:
    assert not NEVER.has_passed()
    assert NEVER.left_s() == float("inf")
    assert NEVER.within(60).left_s() == pytest.approx(60, abs=1)


def test_the_earlier_time_counts() -> None:
    deadline = Deadline.after(60)
    assert deadline.within(600) == deadline
    assert deadline.within(1).left_s() <= 1
    assert Deadline.after(-1).has_passed()


def test_who_cancels_leaves_no_time_for_anybody() -> None:
    cancellation = Cancellation()
    deadline = Deadline(cancellation=cancellation)
    earlier = deadline.within(60)
    assert not deadline.has_passed()
    cancellation.cancel()
    assert deadline.has_passed()
    assert earlier.has_passed()
    assert earlier.left_s() == 0


def test_who_listens_is_told_once() -> None:
    cancellation, told = Cancellation(), list[str]()
    with cancellation.telling(lambda: told.append("before")):
        pass
    with cancellation.telling(lambda: told.append("meanwhile")):
        cancellation.cancel()
        cancellation.cancel()
        assert told == ["meanwhile"]
    with cancellation.telling(lambda: told.append("after")):
        assert told == ["meanwhile", "after"]


def test_a_program_ends_when_another_thread_cancels() -> None:
    cancellation = Cancellation()
    threading.Timer(0.3, cancellation.cancel).start()
    started = time.monotonic()
    with pytest.raises(CommandTimeout):
        run_command(["sleep", "60"], env={"PATH": "/usr/bin:/bin"}, deadline=Deadline(cancellation=cancellation))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("line", range(6))
def test_a_signal_may_cancel_whatever_its_thread_does(line: int) -> None:
    cancellation, told, lines = Cancellation(), list[str](), list[int]()

    def trace(frame: FrameType, event: str, _: object) -> object:
        """As a handler of a signal does, between two lines of `telling`."""
        if frame.f_code.co_name != "telling" or cancellation.is_cancelled:
            return None
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == line + 1:
                cancellation.cancel()
        return trace

    def listen() -> None:
        sys.settrace(trace)  # type: ignore[arg-type]  # of this thread
        with cancellation.telling(lambda: told.append("x")):
            cancellation.cancel()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert told == ["x"]
