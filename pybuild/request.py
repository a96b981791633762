"""What is asked of a build."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.api import ANY_EXEC_ENV, DEFAULT_EXEC_ENV
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Output
from lifecycle.oci.compression import Compression
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.registry.manifest import name_of
from pybuild.builder import default_definition_path
from pybuild.errors import UsageError
from pybuild.run_image import ImageSettings
from pybuild.volumes import Volume

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, and how. Making one raises `UsageError` where a value has no meaning: it may be what a client of a service sent."""

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

    def __post_init__(self) -> None:
        if "\0" in str(self.repository):
            raise UsageError(f"`{self.repository}` has a NUL character, which no path or URL has")
        for name, value in self.env.items():
            check_variable_name(name, "env")
            if not isinstance(value, str):
                raise UsageError(f"env: the value of `{name}` is no text", f'write `"{value}"`')
        check_exec_env(self.exec_env, "exec_env")
        if math.isnan(self.timeout_s):
            raise UsageError("timeout_s: NaN is no number of seconds", "without a limit it is `math.inf`")
        _check_platforms(self.platforms)

    @property
    def location(self) -> str:
        """The repository as text."""
        return str(self.repository)


def check_variable_name(name: str, where: str) -> None:
    """Raise `UsageError` where `name`, which stands `where`, cannot be that of a variable for the buildpacks."""
    if not _VARIABLE_NAME.fullmatch(name):
        raise UsageError(f"{where}: `{name}` is not the name of a variable", "names have letters, digits and `_` only")
    if name.startswith("CNB_"):
        raise UsageError(f"{where}: `{name}` belongs to the lifecycle", "names that begin with CNB_ cannot be set")


def check_exec_env(name: str, where: str) -> None:
    """Raise `UsageError` where `name` cannot be that of an execution environment (buildpack.md, "Execution Environments")."""
    if not name or "/" in name or "\0" in name or name == ANY_EXEC_ENV:
        raise UsageError(f"{where}: `{name}` is not the name of an execution environment", "such as `test`")


def _check_platforms(platforms: Sequence[Platform]) -> None:
    """Raise `UsageError` where a build for them would be for nothing, for something unknown, or wait for itself."""
    if not platforms:
        raise UsageError("platforms: there is none to build for", "leave it out to build for this machine's")
    names = ", ".join(name_of(platform) for platform in platforms)
    if any(platform.os != "linux" for platform in platforms):
        raise UsageError(f"platforms: images are made for linux, not for {names}", "such as linux/amd64")
    if len({platform.architecture for platform in platforms}) != len(platforms):
        raise UsageError(f"platforms: {names} has an architecture twice", "name each once")
