from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandNotStarted, CommandTimeout, run_command
from lifecycle.cnb.deadline import Deadline
from tests.processes import has_ended

ENV = {"PATH": "/usr/bin:/bin"}


def bash(script: str, **options: object) -> tuple[int, list[str]]:
    lines: list[str] = []
    result = run_command(["bash", "-c", script], env=ENV, on_line=lines.append, **options)  # type: ignore[arg-type]
    return result.status, lines


def test_output_of_both_streams_comes_line_by_line() -> None:
    assert bash("echo one; echo two >&2; printf three; exit 3") == (3, ["one", "two", "three"])


def test_lines_are_given_while_the_program_runs() -> None:
    times: list[float] = []
    run_command(["bash", "-c", "echo a; sleep 0.3; echo b"], env=ENV, on_line=lambda _: times.append(time.monotonic()))
    assert times[1] - times[0] > 0.2


def test_environment_is_exactly_what_is_given() -> None:
    result = run_command(["/usr/bin/env"], env={"ONLY": "this"})
    assert result.output == "ONLY=this\n"


def test_directory_and_input(tmp_path: Path) -> None:
    result = run_command(["bash", "-c", "pwd; cat"], env=ENV, cwd=tmp_path, stdin=b"x" * 200_000)
    assert result.output == f"{tmp_path}\n" + "x" * 200_000
    assert run_command(["cat"], env=ENV).output == ""


def test_signal_is_reported_as_shells_do() -> None:
    assert bash("kill -TERM $$")[0] == 128 + signal.SIGTERM


def test_bytes_that_are_no_text_do_not_break_it() -> None:
    assert bash(r"printf '\377\r\n'")[1] == ["\ufffd"]


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/etc/passwd"], ["/"], ["a\0b"]])
def test_program_that_cannot_be_started(argv: list[str]) -> None:
    with pytest.raises(CommandNotStarted):
        run_command(argv, env=ENV)


def test_output_is_kept_to_its_tail() -> None:
    result = run_command(["bash", "-c", "yes 0123456789 | head -c 5000000; echo end"], env=ENV)
    assert len(result.output) == 1024 * 1024
    assert result.output.endswith("end\n")


def test_line_without_end_is_cut() -> None:
    _, lines = bash("head -c 300000 /dev/zero | tr '\\0' x")
    assert len(lines) > 1
    assert max(map(len, lines)) < 200_000
    assert sum(map(len, lines)) == 300_000


def test_daemon_that_keeps_the_output_open_does_not_hang_it() -> None:
    started = time.monotonic()
    status, lines = bash("echo before; (sleep 30 &) ; echo after")
    assert (status, lines) == (0, ["before", "after"])
    assert time.monotonic() - started < 5


def test_output_that_a_pipeline_still_holds_is_waited_for() -> None:
    assert bash("exec > >(sleep 0.2; cat); echo late")[1] == ["late"]


def test_deadline_ends_the_program_and_its_children(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(CommandTimeout) as caught:
        bash(f"echo partial; {script}", deadline=Deadline.after(1))
    assert caught.value.output == "partial\n"
    assert has_ended(int((tmp_path / "child").read_text()))


def test_program_that_closes_its_output_is_waited_for_until_the_deadline() -> None:
    assert bash("exec >&- 2>&-; sleep 0.2; exit 4")[0] == 4
    with pytest.raises(CommandTimeout):
        bash("exec >&- 2>&-; sleep 60", deadline=Deadline.after(0.2))


def test_program_that_ends_in_time_is_no_timeout() -> None:
    assert bash("(sleep 30 &); exit 0", deadline=Deadline.after(0.5))[0] == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_error_while_it_runs_ends_the_program(error: type[BaseException], tmp_path: Path) -> None:
    def fail(line: str) -> None:
        (tmp_path / "pid").write_text(line)
        raise error

    with pytest.raises(error):
        run_command(["bash", "-c", "echo $$; sleep 60"], env=ENV, on_line=fail)
    assert has_ended(int((tmp_path / "pid").read_text()))


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    opened = os.open(tmp_path, os.O_RDONLY)
    descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD, 57)
    os.set_inheritable(descriptor, True)
    try:
        _, lines = bash("ls /proc/self/fd")
    finally:
        os.close(descriptor)
        os.close(opened)
    assert {"0", "1", "2"} <= set(lines)
    assert str(descriptor) not in lines


def test_program_has_a_session_of_its_own() -> None:
    _, lines = bash("cut -d ' ' -f 6 /proc/$$/stat; echo $$")
    assert lines[0] == lines[1]
