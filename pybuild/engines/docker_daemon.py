"""Images of a Docker engine, taken out of it by its own command line; `DOCKER_HOST` and the like count as they do for that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lifecycle.cnb.command import run_command
from lifecycle.oci.errors import ImageNotFound
from pybuild.engines.docker_client import explain_failure
from pybuild.errors import ToolMissing

_UNKNOWN = ("No such image", "reference does not exist", "invalid reference")


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
    if any(words in result.output for words in _UNKNOWN):
        raise ImageNotFound(
            f"docker-daemon:{name}", "the Docker engine has no such image", "`docker images` lists those it has"
        )
    raise explain_failure("image save", result.output)
