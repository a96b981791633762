"""Heredocs as files of an image."""

from __future__ import annotations

import json
from pathlib import Path

from lifecycle.cnb.recipe import FILES_DIRECTORY
from pybuild.heredocs import with_heredocs
from tests.lifecycle.execution.recipes import recipe_of
from tests.lifecycle.oci.images import content_of, names_in, validate_image

A, B = f"{FILES_DIRECTORY}/0a/one.txt", f"{FILES_DIRECTORY}/0b/two.txt"
FILES = {"0a/one.txt": "first\n", "0b/two.txt": "second \udcff"}


def test_what_is_copied_comes_from_an_image(tmp_path: Path) -> None:
    text = f"FROM scratch\nCOPY --chown=1:1 {json.dumps([A, B, '/d/'])}\nADD {json.dumps([B, '/$X'])}\nRUN cat {A}\nCOPY . /"
    recipe, images = with_heredocs(recipe_of(text, files=FILES), (), tmp_path)
    ((entry, image),) = images
    local = entry.local
    assert [one.text for one in recipe.instructions] == [
        "FROM scratch",
        f'COPY --chown=1:1 --from={local} ["/0a/one.txt", "/0b/two.txt", "/d/"]',
        f'COPY --from={local} ["/0b/two.txt", "/$X"]',
        f"RUN cat {A}",
        "COPY . /",
    ]
    assert [one.line for one in recipe.instructions] == [1, 2, 3, 4, 5]
    assert (recipe.images, recipe.files) == ((entry,), {})
    validate_image(image)
    assert names_in(image.layers[0]) == ["0a/", "0a/one.txt", "0b/", "0b/two.txt"]
    assert content_of(image.layers[0], "0b/two.txt") == b"second \xff"


def test_files_of_the_context_are_copied_first(tmp_path: Path) -> None:
    text = "FROM scratch\nADD " + json.dumps(["f.tar", A, "/d/"])
    recipe, images = with_heredocs(recipe_of(text, files=FILES), (), tmp_path)
    assert [(one.keyword, one.text, one.line) for one in recipe.instructions[1:]] == [
        ("ADD", 'ADD ["f.tar", "/d/"]', 2),
        ("COPY", f'COPY --from={images[0][0].local} ["/0a/one.txt", "/d/"]', 2),
    ]


def test_an_instruction_that_goes_on_in_another_line(tmp_path: Path) -> None:
    text = 'FROM scratch\nCOPY ["' + A + '",\\\n"/d/"]'
    recipe, images = with_heredocs(recipe_of(text, files=FILES), (), tmp_path)
    assert recipe.instructions[1].text == f'COPY --from={images[0][0].local} ["/0a/one.txt", "/d/"]'


def test_only_the_last_image_is_kept(tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY " + json.dumps([A, "/d/"])
    _, first = with_heredocs(recipe_of(text, files=FILES), (), tmp_path)
    _, second = with_heredocs(recipe_of(text, files={"0a/one.txt": "other"}), (), tmp_path)
    assert first[0][0].local != second[0][0].local
    assert [path.name for path in tmp_path.iterdir()] == [second[0][1].layers[0].path.name]


def test_without_heredocs_there_is_no_image(tmp_path: Path) -> None:
    recipe = recipe_of("FROM scratch")
    assert with_heredocs(recipe, (), tmp_path / "absent") == (recipe, ())
    assert not (tmp_path / "absent").exists()
