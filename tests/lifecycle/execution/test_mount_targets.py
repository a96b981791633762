"""Mounts of commands by links that are in no layer."""

from __future__ import annotations

import pytest

from lifecycle.cnb.recipe import Recipe, RecipeInstruction
from lifecycle.execution.mount_targets import redirect_mounts


def redirect(text: str) -> tuple[str, dict[str, str]]:
    instruction = RecipeInstruction(keyword=text.split()[0], text=text, line=1)
    recipe, links = redirect_mounts(Recipe(dockerfile="Dockerfile", instructions=(instruction,)), "/dev/x")
    return recipe.instructions[0].text, dict(links)


def test_a_target_becomes_a_link_that_leads_to_it() -> None:
    text, links = redirect("RUN --mount=type=tmpfs,target=/tmp true")
    (name,) = links
    assert text == f"RUN --mount=type=tmpfs,target=//dev/x/mounts/{name} true"
    assert links[name] == "/tmp"


def test_a_cache_is_still_known_by_its_target() -> None:
    text, links = redirect(
        "RUN --mount=type=cache,dst=/var/cache/pip,sharing=locked --mount=type=cache,id=a,target=/b x"
    )
    first, second = links
    assert text == (
        f"RUN --mount=type=cache,sharing=locked,id=/var/cache/pip,target=//dev/x/mounts/{first} "
        f"--mount=type=cache,id=a,target=//dev/x/mounts/{second} x"
    )
    assert list(links.values()) == ["/var/cache/pip", "/b"]


def test_the_last_of_several_targets_counts() -> None:
    text, links = redirect("RUN --mount=target=/a,source=x,dst=/b true")
    assert list(links.values()) == ["/b"]
    assert text.startswith("RUN --mount=source=x,target=//dev/x/mounts/")


def test_flags_may_continue_on_the_next_line() -> None:
    text, links = redirect("RUN --mount=type=tmpfs,target=/a \\\n  --mount=type=tmpfs,target=/b \\\n  true")
    assert text.count("//dev/x/mounts/") == len(links) == 2
    assert text.endswith(" \\\n  true")


@pytest.mark.parametrize(
    "text",
    [
        "RUN echo --mount=type=tmpfs,target=/tmp",
        "RUN --mount=type=tmpfs,target=$DIR true",
        "RUN --mount=type=tmpfs,target=relative true",
        "RUN --mount=type=secret,id=x true",
        "RUN true",
        "ENV A=--mount=target=/tmp",
    ],
)
def test_what_is_no_plain_mount_stays(text: str) -> None:
    assert redirect(text) == (text, {})


def test_people_see_what_was_written() -> None:
    instruction = RecipeInstruction(keyword="RUN", text="RUN --mount=type=tmpfs,target=/a \\\n  true", line=1)
    recipe, _ = redirect_mounts(Recipe(dockerfile="Dockerfile", instructions=(instruction,)), "/dev/x")
    assert recipe.instructions[0].shown == "RUN --mount=type=tmpfs,target=/a true"


def test_one_place_has_one_link() -> None:
    _, links = redirect("RUN --mount=type=tmpfs,target=/a true")
    assert redirect("RUN --mount=type=cache,target=/a false")[1] == links
