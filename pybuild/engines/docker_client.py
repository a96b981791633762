"""The docker command line: found, asked whether it can do what is needed, and run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.command import CommandResult, run_command
from lifecycle.cnb.deadline import Deadline
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import read_regular_file, write_atomically
from lifecycle.exporters.archive import ArchiveOutput
from lifecycle.oci.image import Image
from lifecycle.oci.location import Location, Transport
from pybuild.errors import DockerUnusable, MachineError, NoSpace, ToolMissing

_VERSION = re.compile(r"Docker version (\d+)\.(\d+)")
# Since 23.0 BuildKit is in a plugin (https://docs.docker.com/engine/release-notes/23.0/); before, a variable asks for it.
_PLUGIN_SINCE, _BUILDKIT_SINCE = (23, 0), (20, 10)
# They would make another image of the same recipe, or another output, or ask a registry for what the engine has.
_UNWANTED = (
    "SOURCE_DATE_EPOCH",
    "BUILDKIT_PROGRESS",
    "BUILDX_METADATA_PROVENANCE",
    "DOCKER_DEFAULT_PLATFORM",
    "DOCKER_CONTENT_TRUST",
)
_OUTPUT_SHOWN = 2000
_INSTEAD = ", or leave out `--engine docker`"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerClient:
    """A docker command. Made by `find_docker`."""

    program: Path
    env: Mapping[str, str]
    deadline: Deadline

    def run(self, *arguments: str) -> str:
        """Return what a command that must succeed says. Raises `DockerUnusable`, `CommandTimeout`."""
        result = self.start(*arguments)
        if result.status != 0:
            raise explain_failure(arguments[0], result.output, instead=_INSTEAD)
        return result.output

    def start(self, *arguments: str, on_line: Callable[[str], None] | None = None) -> CommandResult:
        """Return how a command ended. Raises `CommandTimeout`."""
        return run_command([str(self.program), *arguments], env=self.env, on_line=on_line, deadline=self.deadline)

    def read(self, *arguments: str) -> bytes | None:
        """Return the bytes that a command writes to its standard output; `None` where it fails."""
        process = subprocess.run(
            [str(self.program), *arguments],
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return process.stdout if process.returncode == 0 else None

    def image_id(self, name: str) -> str | None:
        """Return the id of an image of the engine; `None` where there is none of that name."""
        result = self.start("image", "inspect", "--format", "{{.Id}}", name)
        return result.output.strip() if result.status == 0 else None


def find_docker(env: Mapping[str, str], deadline: Deadline, *, builds: bool = True) -> DockerClient:
    """Return the first docker command on `PATH`, where it `builds` the first that has BuildKit, after its engine answered.

    Raises:
        ToolMissing: there is no docker command.
        DockerUnusable: none has BuildKit, or the engine does not answer.
    """
    own = {name: value for name, value in env.items() if name not in _UNWANTED}
    found = []
    for directory in own.get("PATH", os.defpath).split(os.pathsep):
        named = shutil.which("docker", path=directory or ".")
        if named is not None:
            program = Path(named)
            found.append(program)
            buildkit = _buildkit_environment(program, own) if builds else {}
            if buildkit is not None:
                client = DockerClient(program=program, env={**own, **buildkit}, deadline=deadline)
                client.run("version", "--format", "{{.Server.Version}}")
                return client
    if not found:
        raise ToolMissing("docker", "docker.io", "for `--engine docker`")
    raise DockerUnusable(
        f"`{found[0]}` cannot build with BuildKit",
        f"install its plugin buildx (`docker-buildx-plugin` of Docker's packages){_INSTEAD}",
    )


def load_image(docker: DockerClient, image: Image, name: str, archive: Path) -> None:
    """Give the engine an image under `name`; `archive` is a file for that time. Raises `DockerUnusable`, `OciError`, `OSError`."""
    location = Location(transport=Transport.DOCKER_ARCHIVE, path=archive, name=name)
    with ArchiveOutput.make(location, ()).prepare(image, None) as commit:
        commit()
    docker.run("load", "--quiet", "--input", str(archive))
    archive.unlink()


def forget_images(docker: DockerClient, memory: Path, names: Sequence[str]) -> None:
    """Take from the engine the names of the images that an application had there before, and has not now; `memory` is the file of them."""
    with contextlib.suppress(CnbError):
        before = parse_json(read_regular_file(memory).decode("utf-8", "replace"), source=memory.name).strings("names")
        for name in set(before) - set(names):
            docker.start("image", "rm", name)
    write_atomically(memory, render_json({"names": sorted(names)}).encode())


def _buildkit_environment(program: Path, env: Mapping[str, str]) -> dict[str, str] | None:
    """The variables that a build with this command needs; `None` where it has no BuildKit."""
    said = _VERSION.search(_ask(program, env, "--version") or "")
    if said is None:
        return None
    version = (int(said[1]), int(said[2]))
    if version < _PLUGIN_SINCE:
        return {"DOCKER_BUILDKIT": "1"} if version >= _BUILDKIT_SINCE else None
    if _ask(program, env, "buildx", "version") is None:
        return None
    # The engine's own builder, which has the engine's images: another one that the user prefers may have none.
    context = (_ask(program, env, "context", "show") or "default").strip()
    return {"DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": context, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def _ask(program: Path, env: Mapping[str, str], *arguments: str) -> str | None:
    process = subprocess.run(
        [str(program), *arguments],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return process.stdout if process.returncode == 0 else None


def explain_failure(command: str, output: str, *, instead: str = "") -> MachineError:
    """Return the error for a docker command that failed with `output`; `instead` is what can be done without an engine."""
    said = output.strip()[-_OUTPUT_SHOWN:]
    if "permission denied" in said and "docker" in said.lower() and "sock" in said:
        return DockerUnusable(
            "this user may not use the Docker engine",
            f"let an administrator add the user to the group `docker`, or set DOCKER_HOST to an engine of the user{instead}",
        )
    if "Cannot connect to the Docker daemon" in said or "Is the docker daemon running" in said or "dial " in said:
        return DockerUnusable(
            "the Docker engine does not answer", f"start it, or set DOCKER_HOST to where it listens{instead}"
        )
    if "no space left" in said:
        return NoSpace(None)
    return DockerUnusable(f"`docker {command}` failed: {said.splitlines()[-1] if said else 'it did not say why'}")
