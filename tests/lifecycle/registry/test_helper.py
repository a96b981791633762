"""Helpers that misbehave: real programs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lifecycle.registry.helper import HelperAnswer, HelperFailed, ask_helper


def helper(directory: Path, script: str, name: str = "tests") -> dict[str, str]:
    path = directory / f"docker-credential-{name}"
    path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}", "MARK": "seen"}


def test_an_answer(tmp_path: Path) -> None:
    env = helper(tmp_path, """printf '{"Username":"%s %s","Secret":"%s"}' "$1" "$MARK" "$(cat)"; echo noise >&2""")
    assert ask_helper("tests", "a.org", env) == HelperAnswer(username="get seen", secret="a.org")


def test_an_unknown_registry(tmp_path: Path) -> None:
    assert (
        ask_helper("tests", "a.org", helper(tmp_path, "echo credentials not found in native keychain; exit 1")) is None
    )
    assert ask_helper("tests", "a.org", helper(tmp_path, """echo '{"Username":"","Secret":""}'""")) is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo the secret is 1234; exit 3", "ended with status 3"),
        ("kill -KILL $$", "ended with status -9"),
        ("echo nothing", "does not answer in JSON"),
        ("""echo '{"Username":1,"Secret":"x"}'""", "does not answer in JSON"),
        ("echo '[]'", "does not answer in JSON"),
        ("exec sleep 60", "did not answer within 0.5 seconds"),
        ("sleep 60 & exit 0", "did not answer within 0.5 seconds"),
        ("exec yes", "answers with more than 65536 bytes"),
        ("#!/no/such/interpreter", "cannot be started"),
    ],
)
def test_a_helper_that_misbehaves_ends_soon(tmp_path: Path, script: str, reason: str) -> None:
    env = helper(tmp_path, script)
    started = time.monotonic()
    with pytest.raises(HelperFailed) as caught:
        ask_helper("tests", "a.org", env, time_limit_s=0.5)
    assert time.monotonic() - started < 3
    assert caught.value.summary.startswith("the credential helper `tests` ")
    assert reason in caught.value.summary
    assert "1234" not in caught.value.summary


def test_nothing_of_a_helper_stays(tmp_path: Path) -> None:
    env = helper(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(HelperFailed):
        ask_helper("tests", "a.org", env, time_limit_s=0.5)
    for name in ("pid", "child"):
        status = Path("/proc", (tmp_path / name).read_text().strip(), "status")
        deadline = time.monotonic() + 5
        while status.exists() and "Z (zombie)" not in status.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("name", ["", "../../x", "/bin/sh", "a/b", "-x", "a b", "a\n", "ä", "x" * 65, "a\0b"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(HelperFailed, match="has a name that no helper can have"):
        ask_helper(name, "a.org", {"PATH": str(tmp_path)})
