"""Recipes: what is executed, which line of the Dockerfile each of its lines is, and what reading one that somebody else wrote says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.recipe import (
    ImageFacts,
    Recipe,
    RecipeImage,
    RecipeInstruction,
    read_image_facts,
    read_recipe,
    write_image_facts,
    write_recipe,
)

IMAGE = RecipeImage(
    name="docker.io/library/python:3.11",
    written="python:3.11",
    line=3,
    platform="linux/arm64",
    local="pybuild.invalid/docker.io/library/python:3.11",
)


def recipe(*texts: tuple[int, str], **others: object) -> Recipe:
    instructions = tuple(RecipeInstruction(keyword=text.split(" ")[0], text=text, line=line) for line, text in texts)
    return Recipe(dockerfile="Dockerfile", instructions=instructions, **others)  # type: ignore[arg-type]


FULL = recipe(
    (1, "FROM x AS y"),
    (2, "RUN a\\\n  b"),
    ignore_file="Dockerfile.dockerignore",
    images=(IMAGE,),
    files={"0123/EOF": "", "0123/two words": "a\n\udce9"},
    build_args={"EMPTY": "", "A": "b"},
    target="y",
    secret_args=("TOKEN",),
    awaits_images=True,
    whole_image=False,
)


def test_every_line_knows_the_line_that_it_comes_from() -> None:
    text, origins = recipe((3, "FROM a"), (5, "RUN one && \\\n  two"), (9, "RUN three")).render()
    assert text == "FROM a\nRUN one && \\\n  two\nRUN three\n"
    assert origins == (3, 5, 6, 9)


def test_arguments_are_declared_in_every_stage() -> None:
    text, origins = recipe((1, "ARG X"), (2, "FROM a AS b"), (4, "FROM b"), (5, "RUN c")).render(arguments=("P", "Q"))
    assert text == "ARG X\nFROM a AS b\nARG P\nARG Q\nFROM b\nARG P\nARG Q\nRUN c\n"
    assert origins == (1, 2, 2, 2, 4, 4, 4, 5)


def test_flags_stand_before_those_of_each_run() -> None:
    flags = ("--mount=type=secret,id=a", "--mount=type=secret,id=b")
    text, _ = recipe((1, "FROM a"), (2, "RUN --mount=type=cache,target=/c x"), (3, "ENV RUN=1")).render(run_flags=flags)
    assert text == f"FROM a\nRUN {' '.join(flags)} --mount=type=cache,target=/c x\nENV RUN=1\n"


def test_another_escape_character_is_said_first() -> None:
    text, origins = recipe((2, "FROM a"), escape="`").render()
    assert (text, origins) == ("# escape=`\nFROM a\n", (1, 2))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_recipe(tmp_path / "recipe.json", FULL)
    assert read_recipe(tmp_path / "recipe.json") == FULL


def test_what_is_not_there_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"dockerfile": "d", "escape": "\\\\"}', encoding="utf-8")
    assert read_recipe(path) == Recipe(dockerfile="d", instructions=())


def test_halves_of_characters_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"dockerfile": "d", "escape": "\\\\", "target": "\\ud800"}', encoding="utf-8")
    read = read_recipe(path)
    assert read.target == "\ufffd"
    write_recipe(path, read)
    assert read_recipe(path) == read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dockerfile": None}, "`dockerfile` is required"),
        ({"instructions": [{"keyword": "RUN", "text": "RUN a"}]}, "`instructions[0].line` is required"),
        ({"instructions": ["RUN a"]}, "`instructions[0]` must be a table"),
        ({"instructions": [{"keyword": "RUN", "text": 1, "line": 1}]}, "`instructions[0].text` must be a string"),
        ({"images": [{"name": "a", "written": "a", "line": True, "local": "l"}]}, "must be an integer"),
        ({"files": {"a": ["b"]}}, "`files.a` must be a string"),
        ({"build-args": []}, "`build-args` must be a table"),
        ({"whole-image": "no"}, "`whole-image` must be true or false"),
        ({"awaits-images": 1}, "`awaits-images` must be true or false"),
        ({"secret-args": [None]}, "`secret-args[0]` must be a string"),
    ],
)
def test_a_recipe_that_says_nonsense_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "recipe.json"
    write_recipe(path, FULL)
    document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    path.write_text(json.dumps(document | changes), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message.replace("[", r"\[")):
        read_recipe(path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a":' * 100_000, "\0"])
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        read_recipe(path)


def test_a_link_in_the_place_of_a_recipe_is_not_followed(tmp_path: Path) -> None:
    write_recipe(tmp_path / "other", FULL)
    (tmp_path / "recipe.json").symlink_to("other")
    with pytest.raises(ConfigurationError):
        read_recipe(tmp_path / "recipe.json")


@given(texts=st.lists(st.text(alphabet="ab\\\n \t#é\ud800"), max_size=4), line=st.integers(1, 10**6))
def test_lines_and_origins_are_as_many(texts: list[str], line: int) -> None:
    text, origins = recipe(*((line, f"RUN {one}") for one in texts)).render(arguments=("A",), run_flags=("--x",))
    assert len(origins) == (text.count("\n") if texts else 0)


def test_facts_of_images_are_read_again(tmp_path: Path) -> None:
    facts = {"pybuild.invalid/a:b": ImageFacts(env=("A=1", "B="), shell=("/bin/bash", "-c")), "c": ImageFacts()}
    write_image_facts(tmp_path / "images.json", facts)
    assert read_image_facts(tmp_path / "images.json") == facts
