"""`builder`: every buildpack of the group contributes its layers (platform.md, "builder")."""

from __future__ import annotations

from collections.abc import Mapping

from lifecycle.build import BuildRequest, build
from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.environment import start_environment
from lifecycle.cnb.group import read_group
from lifecycle.cnb.plan import read_resolved_plan
from lifecycle.commands.inputs import EXECUTION, open_log, read_surroundings
from lifecycle.flags import Inputs

FLAGS = EXECUTION


def run(inputs: Inputs, _api: ApiVersion, env: Mapping[str, str]) -> None:
    """Write the layers, and config/metadata.toml."""
    request = BuildRequest(
        group=read_group(inputs.path("group")),
        plan=read_resolved_plan(inputs.path("plan")),
        layers_dir=inputs.path("layers"),
        buildpacks_dir=inputs.path("buildpacks"),
        surroundings=read_surroundings(inputs),
        env=start_environment(env),
    )
    build(request, open_log(inputs))
