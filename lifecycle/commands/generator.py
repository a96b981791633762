"""`generator`: the buildpacks of the group write recipes; pybuild's own, between detect and restore."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.environment import start_environment
from lifecycle.cnb.group import read_group
from lifecycle.cnb.plan import read_resolved_plan
from lifecycle.commands.inputs import EXECUTION, GENERATED, open_log, read_surroundings
from lifecycle.flags import Inputs
from lifecycle.recipes import RecipeRequest, write_recipes

FLAGS = (*EXECUTION, GENERATED)


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the recipes."""
    request = RecipeRequest(
        group=read_group(inputs.path("group")),
        plan=read_resolved_plan(inputs.path("plan")),
        buildpacks_dir=inputs.path("buildpacks"),
        generated_dir=inputs.path("generated"),
        surroundings=read_surroundings(inputs),
        env=start_environment(env),
    )
    write_recipes(request, open_log(inputs))
