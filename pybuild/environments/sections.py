"""The parts of an `Environment`, under Azure ML's names: its Python and its Docker settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import PoetryPackages


@dataclass(slots=True)
class ContainerRegistry:
    """Where a private base image is, and who may fetch it. The password is neither shown nor written anywhere."""

    address: str | None = None
    """Its host, perhaps with a port."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class PythonSection:
    """The Python of an environment."""

    conda_dependencies: CondaDependencies = field(default_factory=CondaDependencies)
    user_managed_dependencies: bool = False
    """Whether Python and packages are those of the base image or Dockerfile; then nothing is installed."""
    interpreter_path: str = "python"
    """With that, the Python in the image."""
    version: str | None = None
    """The Python of an environment that pip alone installs, one that the builder has; conda's is a package like others."""
    poetry: PoetryPackages | None = None
    """The files of a Poetry project, in place of `conda_dependencies`."""


@dataclass(slots=True)
class DockerSection:
    """The image that an environment stands on; without any of it, the builder's run image."""

    base_image: str | None = None
    registry: ContainerRegistry = field(default_factory=ContainerRegistry)
    """The same as `base_image_registry`."""
    base_dockerfile: str | Path | None = None
    """The text of a Dockerfile or the path of one."""
    enabled: bool = True
    """Means nothing here: an environment always becomes an image."""

    @property
    def base_image_registry(self) -> ContainerRegistry:
        """Where the base image is."""
        return self.registry

    @base_image_registry.setter
    def base_image_registry(self, registry: ContainerRegistry | str) -> None:
        """Set the registry, perhaps by its address alone."""
        self.registry = ContainerRegistry(address=registry) if isinstance(registry, str) else registry
