"""What BuildKit says, and what is made of it."""

from __future__ import annotations

import pytest

from lifecycle.execution.buildkit import BuildKitFollower
from lifecycle.execution.steps import Step, plan_stages
from tests.lifecycle.execution.recipes import local_name, recipe_of

TEXT = """
FROM {a:1} AS One
ENV X=1
RUN echo hello
COPY f /f
FROM {b:1}
WORKDIR /w
RUN false
"""


class Watched:
    """A follower with what it told."""

    def __init__(self, text: str = TEXT) -> None:
        self.told: list[str] = []
        self.lines: list[str] = []
        self.follower = BuildKitFollower(
            plan_stages(recipe_of(text, images=["a:1", "b:1"]), ["OWN"]),
            {local_name("b:1"): ("ENV Y=1", "RUN trigger")},
            on_step=lambda step: self.told.append(_name(step)),
            on_cached=lambda step: self.told.append(f"cached {_name(step)}"),
            on_line=self.lines.append,
        )

    def feed(self, *lines: str) -> BuildKitFollower:
        for line in lines:
            self.follower.feed(line)
        return self.follower


def _name(step: Step) -> str:
    return f"{step.instruction.line}{' trigger' if step.is_trigger else ''}"


def test_steps_of_stages_side_by_side() -> None:
    watched = Watched()
    watched.feed(
        "#1 [internal] load build definition from Dockerfile",
        "#1 sha256:0123",
        "#1 DONE 0.0s",
        "",
        "#5 [one 1/3] FROM pybuild.invalid/x",
        "#6 [stage-1 1/4] FROM pybuild.invalid/y",
        "#6 CACHED",
        "#7 [one 2/3] RUN echo hello",
        "#7 sha256:0123",
        "#8 [stage-1 2/4] RUN trigger",
        "#8 0.100 from the trigger",
        "#7 0.112 hello",
        "#7 0.113",
        "#7 DONE 0.2s",
        "#9 [stage-1 3/4] WORKDIR /w",
    )
    assert watched.told == ["1", "5", "cached 5", "3", "5 trigger", "3", "6"]
    assert watched.lines == ["from the trigger", "hello", ""]


@pytest.mark.parametrize(
    "message",
    [
        "executor failed running [/bin/sh -c exit 7]: exit code: 7",
        'process "/bin/sh -c exit 7" did not complete successfully: exit code: 7',
    ],
)
def test_a_command_that_fails(message: str) -> None:
    watched = Watched("\nFROM {a:1}\nRUN exit 7")
    failure = watched.feed(
        "#5 [1/2] FROM x",
        "#6 [2/2] RUN exit 7",
        "#6 0.1 E: no",
        f"#6 ERROR: {message}",
        "------",
        " > [2/2] RUN exit 7:",
        message,
    ).failure()
    assert failure.step is not None
    assert (failure.step.instruction.line, failure.status, failure.tail) == (2, 7, ("E: no",))


def test_a_file_that_is_not_there_has_no_status() -> None:
    watched = Watched("\nFROM {a:1}\nCOPY exit code: 7 /")
    failure = watched.feed("#6 [2/2] COPY x /", '#6 ERROR: "/nothing" not found: exit code: 7').failure()
    assert failure.step is not None
    assert (failure.step.instruction.line, failure.status) == (2, None)


def test_the_end_of_output_without_an_end_of_line() -> None:
    watched = Watched("\nFROM {a:1}\nRUN printf x")
    failure = watched.feed(
        "#6 [2/2] RUN printf x", "#6 0.1 x#6 ERROR: executor failed running [x]: exit code: 1"
    ).failure()
    assert watched.lines == ["x"]
    assert failure.status == 1
    watched.feed("#7 0.2 y#6 DONE 0.1s")
    assert watched.lines == ["x"]


def test_what_cannot_be_read_has_a_line() -> None:
    watched = Watched()
    said = "failed to solve with frontend dockerfile.v0: dockerfile parse error line 9: WORKDIR requires exactly one argument"
    assert watched.feed("#2 DONE 0.0s", said).parse_error == (9, "WORKDIR requires exactly one argument")


def test_a_failure_outside_of_the_dockerfile_has_no_step() -> None:
    failure = (
        Watched()
        .feed("#3 [internal] load metadata for x", "#3 ERROR: no such host", "ERROR: failed to solve: no such host")
        .failure()
    )
    assert (failure.step, failure.status, failure.message) == (None, None, "no such host")
