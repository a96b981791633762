"""What is asked of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.api import DEFAULT_EXEC_ENV
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Output
from lifecycle.oci.compression import Compression
from lifecycle.oci.descriptor import Platform, host_platform
from pybuild.builder import default_definition_path
from pybuild.run_image import ImageSettings
from pybuild.volumes import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, and how."""

    repository: str | Path
    """A directory, a git URL (with `#ref:subdirectory`) or an archive."""
    builder: Path = field(default_factory=default_definition_path)
    """A `builder.toml`."""
    outputs: Sequence[Output | str] = ()
    """As `--output` has them, such as `oci:DIR`. Empty: the image stays in the store."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The user's variables for the buildpacks."""
    buildpacks: tuple[str, ...] = ()
    """Ids, paths or images that take the place of the builder's order; see `pybuild.order`."""
    descriptor: Path | None = None
    """A project.toml that takes the place of the repository's own."""
    trusts_project: bool = False
    """Whether project.toml may bring buildpacks of its own, whatever the builder says."""
    volumes: tuple[Volume, ...] = ()
    exec_env: str = DEFAULT_EXEC_ENV
    """The execution environment that the image is for."""
    shows_plan: bool = False
    """Whether people read the build plan even without asking for details."""
    timeout_s: float = 3600
    network: bool = True
    images: ImageSettings = field(default_factory=ImageSettings)
    compression: Compression = Compression.GZIP
    """Of the layers that buildpacks make."""
    cache_image: Reference | None = None
    """Where the cache of the application is as an image, beside the one in the store."""
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (host_platform(),))
    """What to build it for, at least one and each once; the images of several become one index."""

    @property
    def location(self) -> str:
        """The repository as text."""
        return str(self.repository)
