"""Images of a Docker engine, taken out of it by its own command line; `DOCKER_HOST` and the like count as they do for that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lifecycle.cnb.command import run_command
from lifecycle.oci.errors import ImageNotFound
from pybuild.errors import MachineError, ToolMissing


def save_image(name: str, archive: Path) -> None:
    """Write the image `name` of the engine into a file as `docker save` makes it.

    Raises:
        ImageNotFound: the engine has no such image.
        MachineError: there is no engine, or this user may not use it.
    """
    program = shutil.which("docker")
    if program is None:
        raise ToolMissing("docker", "docker.io", "to take images out of a Docker engine")
    result = run_command([program, "image", "save", "--output", str(archive), "--", name], env=os.environ)
    if result.status == 0:
        return
    lines = result.output.strip().splitlines()
    said = lines[-1].removeprefix("Error response from daemon: ") if lines else f"ended with status {result.status}"
    if "permission denied" in said:
        raise MachineError(
            "this user may not talk to the Docker engine", "run as root, or let the user be in the group `docker`"
        )
    if "Cannot connect" in said or "Is the docker daemon running" in said or "dial " in said:
        raise MachineError(f"there is no Docker engine: {said}", "start it, or say where it is with `DOCKER_HOST`")
    if "no space left" in said:
        raise MachineError(f"`docker save` failed: {said}", "free some space, or set `TMPDIR` to another disk")
    if "No such image" in said or "reference does not exist" in said or "invalid reference" in said:
        raise ImageNotFound(
            f"docker-daemon:{name}", "the Docker engine has no such image", "`docker images` lists those it has"
        )
    raise MachineError(f"`docker save` failed: {said}")
