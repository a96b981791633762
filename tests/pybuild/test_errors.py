from __future__ import annotations

import copy
import errno
import json
import pickle
from pathlib import Path

import pytest

import pybuild
from lifecycle.cnb.command import CommandResult
from lifecycle.cnb.errors import CnbError, ConfigurationError
from lifecycle.cnb.failure import write_failure
from lifecycle.registry.errors import RegistryUnreachable
from pybuild.errors import NoSpace, PhaseFailed, TimeLimitReached, ToolMissing, UsageError, machine_error_of
from pybuild.phases import phase_failure

ENDED = CommandResult(status=51, output="")


class PackageNotFound(CnbError):
    summary = "requirements.txt:1: there is no package `nump`"
    facts = (("index", "one"), ("index", "other"), ("line", "1"))
    hint = "check the spelling"


class Unheard(CnbError):
    exit_code = 51
    summary = "buildpack `a` failed"


def test_an_error_says_all_of_itself_as_json() -> None:
    assert json.loads(json.dumps(PackageNotFound().to_json())) == {
        "code": "package-not-found",
        "exitCode": 1,
        "summary": "requirements.txt:1: there is no package `nump`",
        "facts": {"index": "one\nother", "line": "1"},
        "hint": "check the spelling",
    }


def test_the_classes_that_callers_know_are_a_tree() -> None:
    assert isinstance(UsageError("x"), pybuild.InputError)
    assert issubclass(pybuild.PackageConflict, pybuild.PhaseFailed)
    assert isinstance(machine_error_of(OSError(errno.ENOSPC, "No space left")), NoSpace)
    assert machine_error_of(OSError(errno.EBADF, "Bad file descriptor")) is None


@pytest.mark.parametrize("said", [True, False])
def test_what_a_buildpack_knows_of_its_failure_is_the_error_where_it_was_shown(tmp_path: Path, said: bool) -> None:
    write_failure(tmp_path / "phase.json", Unheard())
    write_failure(tmp_path / "own.json", PackageNotFound())
    error = phase_failure(
        tmp_path / "phase.json", ENDED, phase="build", exit_code=4, said=said, own=tmp_path / "own.json"
    )
    assert error.exit_code == 51
    assert isinstance(error, pybuild.PackageNotFound) is said
    assert error.code == ("package-not-found" if said else "unheard")
    assert error.hint == ("check the spelling" if said else None)


@pytest.mark.parametrize("content", ["", "[]", '{"summary": 1}', "\x00"])
def test_what_a_buildpack_leaves_instead_of_its_error_does_not_matter(tmp_path: Path, content: str) -> None:
    write_failure(tmp_path / "phase.json", Unheard())
    (tmp_path / "own.json").write_text(content)
    error = phase_failure(
        tmp_path / "phase.json", ENDED, phase="build", exit_code=4, said=True, own=tmp_path / "own.json"
    )
    assert error.summary == "buildpack `a` failed"


@pytest.mark.parametrize(
    "error",
    [
        UsageError("what", "do"),
        ToolMissing("bwrap", "bubblewrap", "to build"),
        PhaseFailed(code="c", exit_code=51, summary="s", facts=(("f", "1"),), hint="h", said=True),
        TimeLimitReached("build", 60),
        ConfigurationError(Path("a.toml"), "is wrong", line=3, advice="do"),
        RegistryUnreachable(image="i", host="h", reason="x"),
        pybuild.Cancelled(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_go_from_process_to_process(error: CnbError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (other.to_json(), str(other), vars(other)) == (error.to_json(), str(error), vars(error))
