"""Which instruction a step is, and how it is shown."""

from __future__ import annotations

import pytest

from lifecycle.cnb.recipe import RecipeInstruction
from lifecycle.execution.steps import Wording, find_parent, find_triggers, plan_stages
from tests.lifecycle.execution.recipes import local_name, recipe_of

TWO = """
ARG GLOBAL=1
FROM {a:1} AS first
ONBUILD RUN echo \\
  trigger
RUN one
FROM first
COPY --from=first /x /x
"""


def test_a_stage_has_the_arguments_of_pybuild_behind_its_beginning() -> None:
    first, second = plan_stages(recipe_of(TWO, images=["a:1"]), ["PIP_CONFIG_FILE NETRC"])
    assert (first.name, first.base) == ("first", local_name("a:1"))
    assert [step.instruction.keyword for step in first.steps] == ["FROM", "ARG", "ONBUILD", "RUN"]
    assert [step.is_own for step in first.steps] == [False, True, False, False]
    assert [step.instruction.line for step in second.steps] == [6, 6, 7]


@pytest.mark.parametrize(
    ("number", "total", "line", "is_trigger"),
    [
        (1, 3, 6, False),
        (2, 3, 6, False),
        (3, 3, 7, False),
        (1, 4, 6, False),
        (2, 4, 6, True),
        (3, 4, 6, False),
        (4, 4, 7, False),
    ],
)
def test_triggers_of_the_base_come_after_the_beginning(number: int, total: int, line: int, is_trigger: bool) -> None:
    stage = plan_stages(recipe_of(TWO, images=["a:1"]), ["X"])[1]
    step = stage.step(number, total)
    assert step is not None
    assert (step.instruction.line, step.is_trigger) == (line, is_trigger)


@pytest.mark.parametrize(("number", "total"), [(0, 3), (4, 3), (1, 2), (100, 99)])
def test_there_is_no_step_where_the_numbers_make_no_sense(number: int, total: int) -> None:
    stage = plan_stages(recipe_of(TWO, images=["a:1"]), ["X"])[1]
    assert stage.step(number, total) is None


def test_triggers_come_from_an_image_or_from_a_stage() -> None:
    stages = plan_stages(recipe_of(TWO, images=["a:1"]), [])
    of_images = {local_name("a:1"): ("RUN a", "ENV b=1")}
    assert find_parent(stages, 0) is None
    assert find_parent(stages, 1) == 0
    assert find_triggers(stages, 0, of_images) == ("RUN a", "ENV b=1")
    assert find_triggers(stages, 1, of_images) == ("RUN echo \\ trigger",)


def test_names_and_secrets_are_shown_as_they_were_written() -> None:
    recipe = recipe_of(
        "FROM {python:3} AS x\nRUN install \\\n   s3cr3t {python:3.11}",
        images=["python:3.11", "python:3"],
        build_args={"TOKEN": "s3cr3t", "SHORT": "abc", "PLAIN": "install"},
        secret_args=["TOKEN", "SHORT"],
    )
    wording = Wording.of(recipe)
    assert wording.line(recipe.instructions[0]) == "FROM python:3 AS x"
    assert wording.line(recipe.instructions[1]) == "RUN install *** python:3.11"


def test_a_long_instruction_is_shortened_to_a_line() -> None:
    instruction = RecipeInstruction(keyword="RUN", text="RUN " + "x" * 500, line=1)
    shown = Wording().shortened(instruction)
    assert len(shown) == 100
    assert shown.endswith("x…")
