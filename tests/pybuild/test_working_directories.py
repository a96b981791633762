"""Where something is copied, so that buildah makes the directory of a `WORKDIR` in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import make_image
from pybuild.working_directories import with_working_directories
from tests.lifecycle.execution.recipes import recipe_image, recipe_of
from tests.lifecycle.oci.images import names_in, validate_image

COPIED = "copied"


def keywords(text: str, directory: Path, *, user: str | None = None) -> list[str]:
    """The instructions, each by its keyword, and what was added."""
    base = make_image(ImageConfig(architecture="amd64", os="linux", user=user), [])
    recipe = recipe_of(text, images=["base:1"])
    changed, images = with_working_directories(recipe, ((recipe_image("base:1"), base),), directory)
    added = {entry.local for entry, _ in images[1:]}
    return [COPIED if any(f"--from={one}" in i.text for one in added) else i.keyword for i in changed.instructions]


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ("WORKDIR /a", ["WORKDIR", COPIED]),
        ("WORKDIR /a\nENV A=1\nCMD x", ["WORKDIR", COPIED, "ENV", "CMD"]),
        ("WORKDIR /a\nENV A=1\nRUN x", ["WORKDIR", "ENV", "RUN"]),
        ("WORKDIR /a\nCOPY . .", ["WORKDIR", "COPY"]),
        ("WORKDIR /a\nWORKDIR b\nRUN x", ["WORKDIR", "WORKDIR", "RUN"]),
        ("WORKDIR /a\nWORKDIR /b\nRUN x", ["WORKDIR", COPIED, "WORKDIR", "RUN"]),
        ("WORKDIR /a\nWORKDIR $B\nRUN x", ["WORKDIR", COPIED, "WORKDIR", "RUN"]),
        ("WORKDIR /a\nUSER app\nRUN x", ["WORKDIR", COPIED, "USER", "RUN"]),
        ("USER app\nWORKDIR /a\nRUN x", ["USER", "WORKDIR", "RUN"]),
        ("USER app\nWORKDIR /a\nADD a b", ["USER", "WORKDIR", COPIED, "ADD"]),
        ("USER 0:0\nWORKDIR /a\nADD a b", ["USER", "WORKDIR", "ADD"]),
        ("USER $WHO\nWORKDIR /a\nCOPY a b", ["USER", "WORKDIR", COPIED, "COPY"]),
        ("RUN x", ["RUN"]),
    ],
)
def test_what_is_copied_where(instructions: str, expected: list[str], tmp_path: Path) -> None:
    assert keywords(f"FROM {{base:1}}\n{instructions}", tmp_path) == ["FROM", *expected]


@pytest.mark.parametrize(("user", "is_copied"), [(None, False), ("0:0", False), ("app", True), ("1000", True)])
def test_the_user_is_that_of_the_image(user: str | None, is_copied: bool, tmp_path: Path) -> None:
    copied = [COPIED] if is_copied else []
    assert keywords("FROM {base:1}\nWORKDIR /a\nCOPY . .", tmp_path, user=user) == ["FROM", "WORKDIR", *copied, "COPY"]


def test_stages_hand_their_user_on(tmp_path: Path) -> None:
    text = "FROM {base:1} AS One\nUSER app\nWORKDIR /a\nFROM one\nWORKDIR /b\nCOPY . .\nFROM {base:1}\nWORKDIR /b\nCOPY . ."
    expected = ["FROM", "USER", "WORKDIR", COPIED, "FROM", "WORKDIR", COPIED, "COPY", "FROM", "WORKDIR", "COPY"]
    assert keywords(text, tmp_path) == expected


def test_what_is_copied_is_an_empty_directory_and_shown_as_the_instruction(tmp_path: Path) -> None:
    recipe, ((entry, image),) = with_working_directories(recipe_of("FROM scratch\nWORKDIR /a"), (), tmp_path)
    validate_image(image)
    assert names_in(image.layers[0]) == ["nothing/"]
    assert recipe.images == (entry,)
    added = recipe.instructions[-1]
    assert (added.text, added.line, added.shown) == (f'COPY --from={entry.local} ["/nothing/", "/"]', 2, "WORKDIR /a")


def test_a_recipe_that_needs_nothing_stays_as_it_is(tmp_path: Path) -> None:
    recipe = recipe_of("FROM scratch\nCOPY a b")
    assert with_working_directories(recipe, (), tmp_path) == (recipe, ())
    assert list(tmp_path.iterdir()) == []
