"""Work in a process of its own, which is this one's copy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.interpreter import ROOT

# What stands around the work belongs to the process that waits.
_SCRIPT = """
import os, sys
from lifecycle.privileges import run_apart

def work():
    {work}

try:
    code = run_apart(work)
    sys.stderr.write(f"code {{code}}\\n")
finally:
    sys.stderr.write("cleaned\\n")
    os._exit(0)
"""


def said(work: str) -> list[str]:
    """Lines on stderr of a process with such work; nobody reads its stdout."""
    command = [sys.executable, "-c", _SCRIPT.format(work=work)]
    # Without this process's PYTHONUNBUFFERED: what was written is buffered until the end.
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={})
    assert started.stdout is not None
    assert started.stderr is not None
    with started:
        started.stdout.close()
        return started.stderr.read().splitlines()


@pytest.mark.parametrize(
    ("work", "first", "code"),
    [
        ("return 7", "code 7", 7),
        ("os.kill(os.getpid(), 9)", "code 137", 137),
        ("raise ValueError('x')", "Traceback (most recent call last):", 1),
        ("raise KeyboardInterrupt", "code 1", 1),
        ("sys.stdout.write('x'); return 0", "Traceback (most recent call last):", 1),
    ],
)
def test_work_ends_with_its_process(work: str, first: str, code: int) -> None:
    lines = said(work)
    assert lines[0] == first
    assert lines[-2:] == [f"code {code}", "cleaned"]
    assert lines.count("cleaned") == 1
