"""Recipes: which programs run, what they are given, and what becomes of their failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.group import Group, GroupElement
from lifecycle.cnb.plan import Provider, Requirement, ResolvedEntry, ResolvedPlan
from lifecycle.errors import GenerateFailed
from lifecycle.recipes import RecipeRequest, write_recipes
from tests.lifecycle.world import World


def add(world: World, name: str, program: str) -> GroupElement:
    element = world.add(name)
    path = world.buildpacks / element.id.directory_name / element.version / "bin" / "generate"
    path.write_text(program)
    path.chmod(0o755)
    return element


def run(world: World, *elements: GroupElement) -> Path:
    provider = Provider(id=elements[0].id, version=elements[0].version)
    entry = ResolvedEntry(providers=(provider,), requires=(Requirement(name="image"),))
    request = RecipeRequest(
        group=Group(elements=elements),
        plan=ResolvedPlan(entries=(entry,)),
        buildpacks_dir=world.buildpacks,
        generated_dir=world.app.parent / "generated",
        surroundings=world.surroundings(),
        env={"PATH": "/usr/bin:/bin"},
    )
    write_recipes(request, world.log)
    return request.generated_dir


SAY_ALL = """#!/bin/sh
echo "$BP_X" "$PYBUILD_WHOLE_IMAGE" > "$PYBUILD_RECIPE_PATH"
cat "$CNB_BP_PLAN_PATH" > "$CNB_OUTPUT_DIR/plan"
[ "$1 $2 $3" = "$CNB_OUTPUT_DIR $CNB_PLATFORM_DIR $CNB_BP_PLAN_PATH" ]
pwd
"""


def test_a_program_alone_says_how_the_whole_image_is_made(world: World) -> None:
    first = add(world, "first", SAY_ALL)
    world.write("platform/env/BP_X", "of the user")
    generated = run(world, first)
    assert (generated / "first" / "recipe.json").read_text() == "of the user true\n"
    assert 'name = "image"' in (generated / "first" / "plan").read_text()
    assert world.log.lines == ["---> first 1.0.0", str(world.app)]


def test_beside_others_it_is_told_so_and_they_need_no_such_program(world: World) -> None:
    first, second = world.add("first"), add(world, "second", SAY_ALL)
    generated = run(world, first, second)
    assert (generated / "second" / "recipe.json").read_text() == " false\n"
    assert not (generated / "first").exists()


def test_what_images_say_is_shown_when_it_is_known(world: World) -> None:
    first = add(world, "first", '#!/bin/sh\ncat "$PYBUILD_IMAGES_PATH" > "$PYBUILD_RECIPE_PATH"\n')
    world.write("generated/first/images.json", "what they say")
    assert (run(world, first) / "first" / "recipe.json").read_text() == "what they say"


def test_a_program_that_fails_ends_the_phase(world: World) -> None:
    broken = add(world, "broken", "#!/bin/sh\necho error: no >&2\nexit 1\n")
    with pytest.raises(GenerateFailed) as caught:
        run(world, broken)
    assert caught.value.summary == "buildpack `broken` 1.0.0 could not generate: `bin/generate` exited with status 1"
    assert caught.value.exit_code == 91
    assert "error: no" in world.log.lines


def test_a_program_that_cannot_be_started_is_said(world: World) -> None:
    with pytest.raises(GenerateFailed) as caught:
        run(world, add(world, "broken", "#!/nowhere\n"))
    assert caught.value.status is None
