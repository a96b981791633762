"""Recipes: the buildpacks of the group that make an image of their own say how. A phase of pybuild's own, between detect and restore.

A buildpack with `bin/generate` is given what an image extension is given (`lifecycle.generate`), and `PYBUILD_RECIPE_PATH` besides, the
file that its recipe belongs into (`lifecycle.cnb.recipe`). `PYBUILD_WHOLE_IMAGE` is `false` where other buildpacks put layers on that
image. A recipe that waits for what its images say is asked for again when the platform has put that into the directory:
`PYBUILD_IMAGES_PATH`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.catalogue import read_buildpack
from lifecycle.cnb.group import Group
from lifecycle.cnb.plan import ResolvedPlan
from lifecycle.log import PhaseLog
from lifecycle.programs import Surroundings, has_program, run_generate_program

RECIPE_NAME, IMAGES_NAME = "recipe.json", "images.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRequest:
    """What the phase needs. `env` is what the lifecycle passes on of its own environment."""

    group: Group
    plan: ResolvedPlan
    buildpacks_dir: Path
    generated_dir: Path
    """Gets a directory for each buildpack that takes part."""
    surroundings: Surroundings
    env: Mapping[str, str]


def write_recipes(request: RecipeRequest, log: PhaseLog) -> None:
    """Run the programs, in the order of the group. Raises `GenerateFailed`, and what `read_buildpack` raises."""
    is_alone = len(request.group.elements) == 1
    for element in request.group.elements:
        descriptor = read_buildpack(element, request.buildpacks_dir)
        if not has_program(descriptor, "generate"):
            continue
        output_dir = request.generated_dir / element.id.directory_name
        output_dir.mkdir(parents=True, exist_ok=True)
        own = {
            "PYBUILD_RECIPE_PATH": str(output_dir / RECIPE_NAME),
            "PYBUILD_WHOLE_IMAGE": "true" if is_alone else "false",
        }
        images = output_dir / IMAGES_NAME
        if images.exists():
            own["PYBUILD_IMAGES_PATH"] = str(images)
        else:
            log.info(f"---> {descriptor.id} {descriptor.version}")
        run_generate_program(
            descriptor,
            request.surroundings,
            request.env,
            own,
            output_dir=output_dir,
            plan=request.plan.entries_for(element.id),
            on_line=log.info,
        )
