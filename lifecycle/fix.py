"""The fix phase, pybuild's own: the buildpacks of the group write files of the application as they want them to be.

A buildpack has the program `bin/fix` if it can do so. It is given what `bin/detect` is given, but for the plan, and changes files
below its working directory, the application. Nothing else of a build happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.catalogue import read_buildpack
from lifecycle.cnb.group import Group
from lifecycle.log import PhaseLog
from lifecycle.programs import Surroundings, has_program, run_fix_program


@dataclass(frozen=True, slots=True, kw_only=True)
class FixRequest:
    """What the phase needs. `env` is what the lifecycle passes on of its own environment."""

    group: Group
    buildpacks_dir: Path
    surroundings: Surroundings
    env: Mapping[str, str]


def fix(request: FixRequest, log: PhaseLog) -> None:
    """Run the programs, in the order of the group. Raises `BuildpackFailed`, and what `read_buildpack` raises."""
    for element in request.group.elements:
        descriptor = read_buildpack(element, request.buildpacks_dir)
        if has_program(descriptor, "fix"):
            log.info(f"---> {descriptor.id} {descriptor.version}")
            run_fix_program(descriptor, request.surroundings, request.env, on_line=log.info)
