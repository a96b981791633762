"""What buildah says, and what is made of it."""

from __future__ import annotations

from lifecycle.execution.following import Failure, Follower
from lifecycle.execution.steps import Step, plan_stages
from tests.lifecycle.execution.recipes import local_name, recipe_of

TEXT = """
FROM {a:1} AS one
RUN echo hello \\
   world
COPY f /f
FROM {b:1}
RUN false
"""
A, B = local_name("a:1"), local_name("b:1")


class Watched:
    """A follower with what it told."""

    def __init__(self, text: str = TEXT) -> None:
        self.told: list[str] = []
        self.lines: list[str] = []
        self.follower = Follower(
            plan_stages(recipe_of(text, images=["a:1", "b:1"]), ["OWN"]),
            on_step=lambda step: self.told.append(_name(step)),
            on_cached=lambda step: self.told.append(f"cached {_name(step)}"),
            on_line=self.lines.append,
        )

    def feed(self, *lines: str) -> Failure:
        for line in lines:
            self.follower.feed(line)
        return self.follower.failure()


def _name(step: Step) -> str:
    return f"{step.instruction.line}{' own' if step.is_own else ''}{' trigger' if step.is_trigger else ''}"


def test_steps_are_told_with_the_lines_of_their_instructions() -> None:
    watched = Watched()
    watched.feed(
        f"[1/2] STEP 1/4: FROM {A} AS one",
        "[1/2] STEP 2/4: ARG OWN",
        "--> 0123456789a",
        "[1/2] STEP 3/4: RUN echo hello    world",
        "hello world",
        "--> 1123456789a",
        "[1/2] STEP 4/4: COPY f /f",
        "--> Using cache " + "2" * 64,
        f"[2/2] STEP 1/3: FROM {B}",
        "[2/2] STEP 2/4: RUN trigger",
        "[2/2] STEP 3/4: ARG OWN",
        "[2/2] STEP 4/4: RUN false",
        "[2/2] COMMIT",
    )
    assert watched.told == ["1", "1 own", "2", "4", "cached 4", "5", "5 trigger", "5 own", "6"]
    assert watched.lines == ["hello world"]
    assert watched.follower.used == {"0123456789a", "1123456789a", "2" * 64}


def test_a_command_that_fails_has_a_status_and_a_line() -> None:
    watched = Watched("\nFROM {a:1}\nRUN exit 7")
    failure = watched.feed(
        f"STEP 1/3: FROM {A}",
        "STEP 2/3: ARG OWN",
        "STEP 3/3: RUN exit 7",
        "E: something",
        "subprocess exited with status 7",
        "subprocess exited with status 7",
        'Error: building at STEP "RUN exit 7": exit status 7',
    )
    assert failure.step is not None
    assert (failure.step.instruction.line, failure.status, failure.tail) == (2, 7, ("E: something",))
    assert watched.lines == ["E: something"]


def test_what_fails_without_a_command_has_a_reason() -> None:
    watched = Watched("\nFROM {a:1}\nCOPY nothing /x")
    reason = 'checking on sources under "/workspace": copier: stat: "/nothing": no such file or directory'
    message = f'Error: building at STEP "COPY nothing /x": {reason}'
    failure = watched.feed(f"STEP 1/3: FROM {A}", "STEP 2/3: ARG OWN", "STEP 3/3: COPY nothing /x", message)
    assert failure.step is not None
    assert (failure.step.instruction.line, failure.status) == (2, None)
    assert (
        failure.message == 'checking on sources under "/workspace": copier: stat: "/nothing": no such file or directory'
    )


def test_output_without_an_end_of_line_is_not_lost() -> None:
    watched = Watched("\nFROM {a:1}\nRUN printf x\nRUN printf y")
    watched.feed(
        f"STEP 1/4: FROM {A}",
        "STEP 2/4: ARG OWN",
        "STEP 3/4: RUN printf x",
        "x--> 0123456789a",
        "STEP 4/4: RUN printf y",
        "yCOMMIT",
    )
    assert watched.lines == ["x", "y"]
    assert watched.told == ["1", "1 own", "2", "3"]


def test_a_command_cannot_pretend_to_be_another_step() -> None:
    watched = Watched()
    watched.feed(
        f"[1/2] STEP 1/4: FROM {A} AS one",
        "[1/2] STEP 2/4: ARG OWN",
        "[1/2] STEP 3/4: RUN echo hello    world",
        "[1/2] STEP 9/9: RUN nothing of the kind",
        "[1/2] STEP 4/4: RUN a copy it is",
        "[2/2] STEP 1/3: FROM elsewhere",
        "STEP 1/1: FROM",
        "[1/2] STEP 4/4: COPY f /f",
    )
    assert watched.told == ["1", "1 own", "2", "4"]
    assert len(watched.lines) == 4


def test_nothing_said_is_a_failure_without_a_step() -> None:
    assert Watched().feed() == Failure(step=None, status=None, message="", tail=())
