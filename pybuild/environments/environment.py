"""`Environment`, as people know it from Azure ML: packages, base image and variables of an image, put together in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.definition import Definition, PipPackages, PoetryPackages
from pybuild.environments.errors import refuse
from pybuild.environments.requirements import read_requirements
from pybuild.environments.sections import ContainerRegistry
from pybuild.environments.texts import is_remote, read_dockerfile, read_tree
from pybuild.errors import UsageError
from pybuild.events import OnEvent, ignore_event

if TYPE_CHECKING:
    from lifecycle.cnb.deadline import Cancellation
    from lifecycle.exporters import Output
    from pybuild.environments.details import ImageDetails
    from pybuild.environments.registered_build import EnvironmentBuild
    from pybuild.report import BuildReport
    from pybuild.request import BuildRequest
    from pybuild.run_image import ImageSettings
    from pybuild.workspaces.version import RegisteredVersion
    from pybuild.workspaces.workspace import Workspace


class Environment(EnvironmentContents):
    """What an image is to have. Change its parts, then build it; `definition()` says it in one canonical form."""

    @classmethod
    def from_pip_requirements(
        cls,
        name: str,
        file_path: str | Path,
        pip_version: str | None = None,
        *,
        python_version: str | None = None,
    ) -> Environment:
        """Return an environment with what a requirements file and the files that it names ask for.

        `python_version`: one that the builder has, such as `3.12`. `pip_version`: then conda installs Python and this pip.

        Raises:
            ConfigurationError: a file cannot be read, or asks for something that is only on this computer.
        """
        found = read_requirements(Path(file_path))
        env = cls(name)
        dependencies = CondaDependencies()
        dependencies.set_pip_requirements(found.lines)
        dependencies.set_pip_constraints(found.constraints)
        if pip_version is not None:
            dependencies.add_conda_package(f"pip={pip_version}")
            if python_version is not None:
                dependencies.set_python_version(python_version)
        env.python.conda_dependencies = dependencies
        env.python.version = python_version
        return env

    @classmethod
    def from_conda_specification(cls, name: str, file_path: str | Path) -> Environment:
        """Return an environment with what an environment.yml asks for. Raises `ConfigurationError`."""
        env = cls(name)
        env.python.conda_dependencies = CondaDependencies(file_path)
        return env

    @classmethod
    def from_conda_specifications(cls, name: str, file_path: str | Path) -> Environment:
        """Return what `from_conda_specification` does: people write it either way."""
        return cls.from_conda_specification(name, file_path)

    @classmethod
    def from_existing_conda_environment(cls, name: str, conda_environment_name: str | Path) -> Environment:
        """Return an environment with the packages, in their versions, of a conda environment of this machine, by its name or directory.

        Raises:
            ConfigurationError: there is none, or a package of it is on this computer only.
        """
        from pybuild.environments.existing import read_existing

        env = cls(name)
        env.python.conda_dependencies = read_existing(conda_environment_name)
        return env

    @classmethod
    def from_poetry(cls, name: str, directory: str | Path) -> Environment:
        """Return an environment with what a Poetry project depends on, without the project. Raises `ConfigurationError`."""
        from pybuild.environments.poetry import read_poetry

        env = cls(name)
        env.python.poetry = read_poetry(Path(directory))
        return env

    @classmethod
    def from_repository(cls, name: str, repository: str | Path) -> Environment:
        """Return what a repository says that it needs: a git URL (with `#ref:subdirectory`), or a directory of a few small files.

        Raises:
            ConfigurationError: a directory has too much, or what is no text.
        """
        env = cls(name)
        if isinstance(repository, str) and is_remote(repository):
            env.repository = repository
        else:
            env.repository_files = read_tree(Path(repository))
        return env

    @classmethod
    def load_from_directory(cls, path: str | Path) -> Environment:
        """Return the environment that `save_to_directory` wrote, or Azure ML's SDK. Raises `ConfigurationError`."""
        from pybuild.environments.directory import load_environment

        env = cls("")
        load_environment(env, Path(path))
        return env

    def save_to_directory(self, path: str | Path, overwrite: bool = False) -> None:  # noqa: FBT001, FBT002 - Azure ML's signature
        """Write the environment as files that people can edit; passwords are not among them. Raises `UsageError`, `ConfigurationError`."""
        from pybuild.environments.directory import save_environment

        save_environment(self, Path(path), overwrite=overwrite)

    def write_context(self, directory: str | Path) -> None:
        """Write the directory that pybuild builds the image from. Raises what `definition` raises, and `InvalidValue` for a URL."""
        from pybuild.environments.context import write_context

        write_context(self.definition(), Path(directory))

    @classmethod
    def from_definition(cls, name: str, definition: Definition) -> Environment:
        """Return the environment that `definition` says."""
        env = cls(name)
        env.docker.base_image = definition.image
        env.docker.base_dockerfile = definition.dockerfile
        env.python.user_managed_dependencies = definition.user_managed
        env.python.interpreter_path = definition.interpreter or env.python.interpreter_path
        env.environment_variables = dict(definition.variables)
        env.repository, env.repository_files = definition.repository, definition.files
        match definition.packages:
            case None:
                pass
            case PoetryPackages() as poetry:
                env.python.poetry = poetry
            case packages:
                env.python.conda_dependencies = CondaDependencies.of(packages)
                env.python.version = packages.python_version if isinstance(packages, PipPackages) else None
        return env

    def build_request(self, *, store: Path | None = None, host_env: Mapping[str, str] | None = None) -> BuildRequest:
        """Return what `pybuild.build` builds the image by; change it by `dataclasses.replace`.

        Credentials of a registry are not in it: `host_env(...)` has them. `store` is the directory of what is kept, by default
        `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.
        Raises `InvalidEnvironment`, `ConfigurationError`.
        """
        from pybuild.environments.building import make_request

        return make_request(self, store=store, host_env=host_env)

    def host_env(self, host_env: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """Return what the machine says, as `pybuild.build` takes it, with the credentials of `base_image_registry`."""
        from pybuild.environments.building import add_login

        return add_login(self, host_env)

    def build_local(
        self,
        workspace: object = None,  # noqa: ARG002 - Azure ML's signature, up to and including `platform`
        platform: str | None = None,
        *,
        outputs: Sequence[Output | str] = (),
        builder: Path | None = None,
        settings: Mapping[str, str] | None = None,
        images: ImageSettings | None = None,
        on_event: OnEvent = ignore_event,
        cancellation: Cancellation | None = None,
        store: Path | None = None,
        host_env: Mapping[str, str] | None = None,
        useDocker: bool = True,  # noqa: ARG002, N803 - as it is called there
        pushImageToWorkspaceAcr: bool = False,  # noqa: N803
    ) -> BuildReport:
        """Build the image on this machine, whether it is registered or not; it is always an image, with or without Docker.

        `outputs`, `builder`, `settings` (its `env`) and `images` are those of `BuildRequest`.
        `on_event` gets what happens, one event at a time; `cancellation` ends the work from any thread. `store` is the directory of what
        is kept, by default `$XDG_CACHE_HOME/pybuild`; `host_env` the machine's environment variables, by default those of this process.

        Raises:
            UsageError: `platform` is not Linux, or `pushImageToWorkspaceAcr` is set.
            InvalidEnvironment, ConfigurationError: it cannot be built.
            CnbError: the build failed.
        """
        from pybuild.environments.building import build_contents

        if platform not in (None, "Linux"):
            raise UsageError(f"images are for Linux, not for `{platform}`", "leave `platform` out")
        if pushImageToWorkspaceAcr:
            hint = 'write `env.build(workspace)`, or name where the image goes: `outputs=["docker://…"]`'
            raise UsageError("`build_local` puts no image into a workspace", hint)
        return build_contents(
            self,
            outputs=outputs,
            builder=builder,
            settings=settings,
            images=images,
            on_event=on_event,
            cancellation=cancellation,
            store=store,
            host_env=host_env,
        )

    @classmethod
    def from_dockerfile(
        cls,
        name: str,
        dockerfile: str | Path,
        conda_specification: str | Path | None = None,
        pip_requirements: str | Path | None = None,
    ) -> Environment:
        """Return an environment on what a Dockerfile makes, given as its text or path, perhaps with Python packages on it.

        Without these, Python is the image's own (`user_managed_dependencies`). Raises `ConfigurationError`, `InvalidEnvironment`.
        """
        env = cls._of_packages(name, conda_specification, pip_requirements)
        env.docker.base_dockerfile = read_dockerfile(dockerfile)
        return env

    @classmethod
    def from_docker_image(
        cls,
        name: str,
        image: str,
        container_registry: ContainerRegistry | None = None,
        conda_specification: str | Path | None = None,
        pip_requirements: str | Path | None = None,
    ) -> Environment:
        """Return an environment on a base image, perhaps with Python packages on it, else with the image's own Python."""
        env = cls._of_packages(name, conda_specification, pip_requirements)
        env.docker.base_image = image
        if container_registry is not None:
            env.docker.base_image_registry = container_registry
        return env

    @classmethod
    def _of_packages(cls, name: str, conda: str | Path | None, pip: str | Path | None) -> Environment:
        if conda is not None and pip is not None:
            message = "both `conda_specification` and `pip_requirements` are given"
            change = "give one; an environment.yml has a section `- pip:`"
            raise refuse(name, "too-many-package-files", message, change)
        if conda is not None:
            return cls.from_conda_specification(name, conda)
        if pip is not None:
            return cls.from_pip_requirements(name, pip)
        env = cls(name)
        env.python.user_managed_dependencies = True
        return env

    def clone(self, new_name: str) -> Environment:
        """Return another environment that says the same, with its registry's credentials; it is not registered."""
        made = type(self)(new_name)
        made.python = replace(self.python, conda_dependencies=self.python.conda_dependencies.copy())
        made.docker = replace(self.docker, registry=replace(self.docker.registry))
        made.environment_variables = dict(self.environment_variables)
        made.repository, made.repository_files = self.repository, self.repository_files
        return made

    def definition(self) -> Definition:
        """Return what the environment says, without its name and without credentials.

        Raises:
            InvalidEnvironment: it cannot be built as it is.
            ConfigurationError: a file that it names cannot be read.
        """
        from pybuild.environments.lint import define

        return define(self)

    def register(self, workspace: Workspace) -> Environment:
        """Return this environment with the version that it has in `workspace`: the next one, or that of an equal definition.

        Raises:
            InvalidEnvironment, ConfigurationError: it cannot be built as it is.
            CnbError: the workspace does not take it.
        """
        from pybuild.environments.registered import register_environment

        register_environment(self, workspace)
        return self

    @classmethod
    def get(
        cls, workspace: Workspace, name: str, version: int | str | None = None, label: str | None = None
    ) -> Environment:
        """Return an environment as it was registered; without version and label, the latest.

        Raises:
            NoSuchEnvironment: the workspace does not have it.
            InvalidName: version and label are both given.
            CnbError: it cannot be read.
        """
        from pybuild.environments.registered import parse_version

        number = None if version is None else parse_version(str(version))
        return cls.from_registered(workspace.get(name, version=number, label=label))

    @classmethod
    def from_registered(cls, registered: RegisteredVersion) -> Environment:
        """Return the environment of a version. Raises `ConfigurationError` where a newer pybuild wrote it."""
        env = cls.from_definition(registered.name, Definition.parse(registered.definition))
        env.version = str(registered.version)
        return env

    @classmethod
    def list(cls, workspace: Workspace) -> dict[str, Environment]:
        """Return the latest version of each environment that is not archived, by its name. Raises `CnbError`."""
        from pybuild.environments.registered import find_latest

        return {found.name: cls.from_registered(found) for found in find_latest(workspace)}

    def build(self, workspace: Workspace, how: EnvironmentBuild | None = None) -> ImageDetails:
        """Return the image of this environment, which is in the workspace then: built now, or before by the same builder.

        The environment is registered before. `build_registered` of `registered_build` does the same with events and cancellation.

        Raises:
            CnbError: it cannot be registered, or not be built.
        """
        from pybuild.environments.registered import register_environment
        from pybuild.environments.registered_build import build_registered

        return build_registered(self, register_environment(self, workspace), workspace, how)

    def get_image_details(self, workspace: Workspace) -> ImageDetails:
        """Return the image that was built last of this environment, in the version that it says it has, or the latest.

        Raises:
            NoSuchEnvironment, NotBuilt: there is none.
            CnbError: the workspace cannot be read.
        """
        from pybuild.environments.registered import parse_version
        from pybuild.environments.registered_build import find_image_details

        version = None if self.version is None else parse_version(self.version)
        return find_image_details(workspace.get(self.name, version=version), workspace)

    def __repr__(self) -> str:
        version = "" if self.version is None else f", version {self.version}"
        return f"<Environment {self.name}{version}>"
