"""What people are told of a recipe that is executed."""

from __future__ import annotations

import pytest

from lifecycle.cnb.errors import CnbError
from lifecycle.execution.errors import ExtendError, InstructionFailed
from lifecycle.execution.following import Failure
from lifecycle.execution.narration import Narrator
from lifecycle.execution.steps import Step, Wording
from tests.lifecycle.execution.recipes import local_name, recipe_of


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def detail(self, line: str) -> None:
        self.lines.append(line)

    info = warning = detail


RECIPE = recipe_of(
    "FROM {a:1}\nRUN echo \\\n  s3cr3t\nCOPY a /b",
    images=["a:1"],
    build_args={"TOKEN": "s3cr3t"},
    secret_args=["TOKEN"],
)
FROM, RUN, COPY = (Step(instruction=one) for one in RECIPE.instructions)


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def narrator(log: Lines) -> Narrator:
    return Narrator(recipe=RECIPE, wording=Wording.of(RECIPE), log=log, network=True)


def test_steps_are_told_as_they_were_written(narrator: Narrator, log: Lines) -> None:
    narrator.step(FROM)
    narrator.step(Step(instruction=FROM.instruction, is_trigger=True))
    narrator.step(Step(instruction=FROM.instruction, is_own=True))
    narrator.cached(Step(instruction=FROM.instruction, is_own=True))
    narrator.step(RUN)
    narrator.cached(RUN)
    assert log.lines == [
        "---> Dockerfile:1 FROM a:1",
        "---> Dockerfile:1 ONBUILD of the image of `FROM a:1`",
        "---> Dockerfile:2 RUN echo ***",
        "     Using the layer of an earlier build",
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [("plain", "plain"), ("the s3cr3t", "the ***"), ("5%\r50%\r100%", "100%"), ("done\r", "done"), ("", "")],
)
def test_output_is_told_without_secrets_and_what_was_overwritten(
    narrator: Narrator, log: Lines, written: str, shown: str
) -> None:
    narrator.line(written)
    assert log.lines == [shown]


def failed(narrator: Narrator, step: Step | None, status: int | None, message: str, *tail: str) -> CnbError:
    return narrator.error(Failure(step=step, status=status, message=message, tail=tail))


def test_a_command_that_failed(narrator: Narrator) -> None:
    error = failed(narrator, RUN, 127, "exit status 127", "/bin/sh: 1: ech0: not found")
    assert isinstance(error, InstructionFailed)
    assert error.summary == "Dockerfile:2: `RUN echo ***` ended with status 127"
    assert error.hint is not None
    assert "`ech0`" in error.hint


def test_an_instruction_that_failed(narrator: Narrator) -> None:
    error = failed(narrator, COPY, None, f"no a in {local_name('a:1')}, s3cr3t")
    assert (error.summary, error.hint) == ("Dockerfile:4: `COPY a /b` failed: no a in a:1, ***", None)
    assert narrator.syntax_error(3, "what is this?").summary == "Dockerfile:3: `RUN echo ***` failed: what is this?"


def test_a_failure_of_the_engine(narrator: Narrator) -> None:
    error = failed(narrator, None, None, "gave up", "first s3cr3t", "second")
    assert isinstance(error, ExtendError)
    assert error.summary == "the recipe cannot be executed: gave up"
    assert error.facts == (("output", "first ***\nsecond"),)
