"""A builder that is there: what the other parts of pybuild build with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.identifier import BuildpackId
from lifecycle.cnb.order import Order
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.target import Target
from lifecycle.oci.image import Image
from pybuild.builder.dockerfile import DockerfileSettings
from pybuild.builder.labels import RunImageName
from pybuild.check.profile import Profile
from pybuild.engines.sandbox import Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """A package that a base holds."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBase:
    """A base in the store: `rootfs/` of a build base, `image/` of a run base."""

    directory: Path
    origin: str
    """`Debian bookworm` or the location of the image."""
    identity: str
    """Hash of what is in it: another one after `--refresh`, if there was anything new."""
    env: Mapping[str, str]
    """Environment of the image; `PATH` is always there."""
    packages: tuple[DebianPackage, ...]
    """Sorted by name; empty where the base was not made from Debian packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A relocatable CPython archive; `/opt/pybuild/interpreters/interpreters.json` lists these."""

    version: str
    """Exact: `3.10.13`."""
    arch: str
    """As OCI names it: `amd64`."""
    file: str
    """Name of the archive. Its members are `bin/…`, `lib/…`, relative, without a directory above them."""
    sha256: str
    origin: str
    """`python-build-standalone`, or `machine` where an interpreter of the machine was packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder in the store."""

    key: str
    directory: Path
    description: str
    rootfs: Path
    """Root file system of the build image; never written to."""
    mounts: tuple[Mount, ...]
    """What belongs to the build image but is kept apart: `/cnb` and `/opt/pybuild`, read-only."""
    env: Mapping[str, str]
    """Environment of the build image."""
    user_id: int
    group_id: int
    target: Target
    build_base: KeptBase
    build_image_name: str
    run_base: KeptBase
    run_image: Image
    run_images: tuple[RunImageName, ...]
    """The names of run images that builder.toml has: at least one, that of `run_image` first."""
    stack_id: str | None
    """What its images say that their stack is, for platforms before Platform API 0.12."""
    order: Order
    buildpacks: tuple[Descriptor, ...]
    """In the order of builder.toml; their directories are the machine's, below `directory`."""
    extensions: tuple[Descriptor, ...]
    """Image extensions, likewise."""
    interpreters: tuple[Interpreter, ...]
    """Newest first; those for the images before those of this machine, where these are others."""
    left_out: Mapping[str, str]
    """Versions of CPython that were asked for and could be had nowhere, and why."""
    dockerfile: DockerfileSettings
    variables: Mapping[str, str]
    """What the operator sets for every buildpack; the build cannot change it."""
    required_profile: Profile | None
    """What every image must meet."""
    trusts_projects: bool
    """Whether the project.toml of a repository may bring buildpacks of its own."""
    tools: Mapping[str, str]
    """Names and versions of `uv`, `pip` and the like."""

    @property
    def run_image_name(self) -> str:
        """What the run image is called."""
        return self.run_images[0].image

    @property
    def run_image_reference(self) -> str:
        """What images say that they stand on, the same wherever they are made: its digest in the repository of its name."""
        return f"{Reference.parse(self.run_image_name).name}@{self.run_image.digest}"

    @property
    def run_image_mirrors(self) -> tuple[str, ...]:
        """Other names of the run image."""
        return self.run_images[0].mirrors

    def buildpack(self, identity: BuildpackId, version: str) -> Descriptor:
        """The buildpack of that name, which is there."""
        return next(one for one in self.buildpacks if (one.id, one.version) == (identity, version))
