"""`executor`: the recipe of an application is executed; pybuild's own, which its sandbox starts."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.recipe import read_recipe
from lifecycle.commands.inputs import APP, LOGGING, open_log
from lifecycle.execute import ExecuteRequest, execute
from lifecycle.execution.assignment import read_assignment
from lifecycle.execution.confinement import lock_mounts
from lifecycle.flags import Flag, Inputs

FLAGS = (
    *LOGGING,
    APP,
    Flag(name="assignment", variable="", default="/platform/assignment.json"),
    Flag(name="images", variable="", default="/platform/images"),
    # Whether commands have no network, for what is said when they fail.
    Flag(name="offline", variable="", default="", is_switch=True),
    Flag(name="output", variable="", default="/layers/output"),
    Flag(name="recipe", variable="", default="/platform/recipe.json"),
    Flag(name="scratch", variable="", default="/tmp"),  # noqa: S108 - the sandbox's own
    Flag(name="storage", variable="", default="/layers/storage"),
)


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the image that the recipe makes."""
    # Code of the application runs below it: what this process could change of its sandbox goes first.
    lock_mounts()
    request = ExecuteRequest(
        recipe=read_recipe(inputs.path("recipe")),
        app_dir=inputs.path("app"),
        images_dir=inputs.path("images"),
        storage_dir=inputs.path("storage"),
        output_dir=inputs.path("output"),
        scratch_dir=inputs.path("scratch"),
        assignment=read_assignment(inputs.path("assignment")),
        env=env,
        network=not inputs.is_on("offline"),
    )
    execute(request, open_log(inputs))
