"""What an `Environment` holds, for the modules that read it, judge it, save it and build it."""

from __future__ import annotations

from collections.abc import Mapping

from pybuild.environments.sections import DockerSection, PythonSection


class EnvironmentContents:
    """The parts of an environment, which people change as they like; `Environment` has what can be done with them."""

    def __init__(self, name: str) -> None:
        """Start with no packages, on the builder's run image."""
        self.name = name
        self.version: str | None = None
        """That under which it is registered; `None`: it is not."""
        self.python = PythonSection()
        self.docker = DockerSection()
        self.environment_variables: dict[str, str] = {}
        self.repository: str | None = None
        """Address of a repository that says everything itself."""
        self.repository_files: Mapping[str, str] = {}
        """The same as texts by path."""
