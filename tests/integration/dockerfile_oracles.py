"""Builds Dockerfiles with the tools that others build them with, beside pybuild: buildah alone, and Docker's BuildKit.

The ones of Debian 12 know no heredocs; those of Debian 13 do, and run in a root file system of their own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.integration.dockerfile_bases import BaseImage
from tests.integration.engine import DockerEngine
from tests.integration.image_tree import ImageContents, contents_of_docker_archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A Dockerfile to build."""

    context: Path
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None

    def options(self) -> list[str]:
        """Options that all of the tools have."""
        options = [word for name, value in self.build_args.items() for word in ("--build-arg", f"{name}={value}")]
        return options + (["--target", self.target] if self.target else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A Dockerfile that could not be built, and what was said about it."""

    said: str


class Oracle(Protocol):
    """A tool that builds Dockerfiles."""

    @property
    def name(self) -> str: ...

    def build(self, request: Request) -> ImageContents | Refused: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """buildah, with a storage of its own."""

    name: str
    directory: Path
    prefix: Sequence[str] = ()
    """Runs a command where buildah is installed, with the same paths."""

    def load(self, image: BaseImage) -> None:
        """Let Dockerfiles be built `FROM` the image, under its name."""
        loaded = self._run("pull", "--quiet", f"docker-archive:{image.archive}")
        assert loaded.returncode == 0, loaded.stderr

    def build(self, request: Request) -> ImageContents | Refused:
        """What becomes of a Dockerfile."""
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            image = Path(scratch, "id")
            command = ["build", "--isolation", "chroot", "--pull-never", "--format", "docker", "--iidfile", str(image)]
            # Newer ones would raise the limits, which not every root may.
            command += ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
            command += ["--file", str(request.context / request.dockerfile), *request.options(), str(request.context)]
            built = self._run(*command)
            if built.returncode != 0:
                return Refused(said=built.stdout + built.stderr)
            identity = image.read_text().strip().removeprefix("sha256:")
            archive = Path(scratch, "image.tar")
            saved = self._run("push", "--quiet", identity, f"docker-archive:{archive}")
            assert saved.returncode == 0, saved.stderr
            return contents_of_docker_archive(archive)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Not the configuration of the machine: its registries, its storage, its policy.
        policy = self.directory / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (self.directory / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
        places = ["--root", str(self.directory / "storage"), "--runroot", str(self.directory / "run")]
        options = [*places, "--storage-driver", "overlay", "--signature-policy", str(policy)]
        env = {
            "PATH": os.defpath + ":/usr/sbin:/sbin",
            "HOME": str(self.directory),
            "CONTAINERS_REGISTRIES_CONF": str(self.directory / "registries.conf"),
            "TMPDIR": str(self.directory),
        }
        command = [*self.prefix, "buildah", *_split(arguments[0], options), *arguments[1:]]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKit:
    """The BuildKit inside a Docker engine."""

    name: str
    engine: DockerEngine
    directory: Path

    def load(self, image: BaseImage) -> None:
        """Let Dockerfiles be built `FROM` the image, under its name."""
        self.engine("load", "--quiet", "--input", str(image.archive))

    def build(self, request: Request) -> ImageContents | Refused:
        """What becomes of a Dockerfile."""
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            image = Path(scratch, "id")
            command = ["build", "--progress", "plain", "--iidfile", str(image), "--network", "none"]
            command += ["--file", str(request.context / request.dockerfile), *request.options(), str(request.context)]
            built = self.engine.run(*command, check=False)
            if built.returncode != 0:
                return Refused(said=built.stdout + built.stderr)
            archive = Path(scratch, "image.tar")
            self.engine("save", "--output", str(archive), image.read_text().strip())
            return contents_of_docker_archive(archive)


def inside(root: Path, *visible: Path) -> tuple[str, ...]:
    """Prefix of a command that runs with another root file system, which stays as it is, and with `visible` of this machine."""
    # The mounts end with the process that they are made for.
    script = """set -e
root=$1; scratch=$2; count=$3; shift 3
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
while [ "$count" -gt 0 ]; do
  mkdir -p "$scratch/root$1"; mount --rbind "$1" "$scratch/root$1"
  shift; count=$((count - 1))
done
exec chroot "$scratch/root" "$@"
"""
    places = [Path("/proc"), Path("/sys"), Path("/dev"), *visible]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "inside"]
    return (*command, str(root), str(root.parent / "mount"), str(len(places)), *map(str, places))


def _split(verb: str, options: Sequence[str]) -> list[str]:
    """The verb between the options that stand before it and the one that stands behind it."""
    where = options.index("--signature-policy")
    return [*options[:where], verb, *options[where:]]
