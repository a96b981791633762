"""`fixer`: the buildpacks of the group correct files of the application; pybuild's own, CNB has no word for it."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.environment import start_environment
from lifecycle.cnb.group import read_group
from lifecycle.commands.inputs import EXECUTION, open_log, read_surroundings
from lifecycle.fix import FixRequest, fix
from lifecycle.flags import Inputs

FLAGS = EXECUTION


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    """Change files of the application directory."""
    request = FixRequest(
        group=read_group(inputs.path("group")),
        buildpacks_dir=inputs.path("buildpacks"),
        surroundings=read_surroundings(inputs),
        env=start_environment(env),
    )
    fix(request, open_log(inputs))
