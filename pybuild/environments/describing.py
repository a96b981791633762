"""What an environment says as a definition, whether it can be built or not."""

from __future__ import annotations

from dataclasses import replace

from lifecycle.cnb.reference import Reference
from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.definition import CondaPackages, Definition, Packages
from pybuild.environments.sections import DockerSection
from pybuild.environments.texts import normalise_text, read_dockerfile


def describe(env: EnvironmentContents) -> Definition:
    """Return the definition of an environment. Raises `ConfigurationError` for its files, `InvalidValue` for its image."""
    python, dockerfile = env.python, env.docker.base_dockerfile
    return Definition(
        packages=None if python.user_managed_dependencies else _find_packages(env),
        image=spell_out_image(env.docker),
        dockerfile=None if dockerfile is None else normalise_text(read_dockerfile(dockerfile)),
        user_managed=python.user_managed_dependencies,
        interpreter=None if python.interpreter_path in ("", "python") else python.interpreter_path,
        repository=env.repository,
        files=env.repository_files,
        variables={**python.conda_dependencies.variables(), **env.environment_variables},
    )


def spell_out_image(docker: DockerSection) -> str | None:
    """Return the whole reference of the base image, with the registry's address where it names none itself. Raises `InvalidValue`."""
    image, address = docker.base_image, docker.registry.address or ""
    if image is None:
        return None
    host = (address.partition("://")[2] or address).strip("/")
    first, slash, _ = image.partition("/")
    has_registry = slash and ("." in first or ":" in first or first == "localhost")
    return str(Reference.parse(image if has_registry or not host else f"{host}/{image}"))


def _find_packages(env: EnvironmentContents) -> Packages | None:
    if env.python.poetry is not None or env.repository is not None or env.repository_files:
        return env.python.poetry
    packages = env.python.conda_dependencies.packages()
    if isinstance(packages, CondaPackages):
        return packages
    has_base = env.docker.base_image is not None or env.docker.base_dockerfile is not None
    if has_base and not packages.requirements:
        return None
    return replace(packages, python_version=env.python.version)
