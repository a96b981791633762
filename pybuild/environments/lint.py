"""What can be said of an environment before it is built: what would fail, and what works today and perhaps not tomorrow.

Codes are listed in docs/environments.md. What needs the files of the build, such as every disguise of Anaconda's channels, is the
buildpacks' to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.mask import mask_credentials
from lifecycle.cnb.reference import Reference
from pybuild.environments.conda_dependencies import CondaDependencies, conda_name
from pybuild.environments.contents import EnvironmentContents
from pybuild.environments.definition import NODEFAULTS, VARIABLE, Definition
from pybuild.environments.describing import describe
from pybuild.environments.errors import InvalidEnvironment, Problem
from pybuild.environments.texts import is_one_line
from pybuild.source.tree import looks_secret

_NAME_LIMIT = 255
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DOCKERFILE_LIMIT = 100 * 1024
_SECRET_VARIABLE = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|CREDENTIAL", re.IGNORECASE)
# As people write them; the conda buildpack knows the others.
_ANACONDA = frozenset({"defaults", "default", "anaconda", "main", "r", "msys2", "free", "pro"})
_ANACONDA_HOST = re.compile(r"https?://(?:repo\.(?:anaconda\.com|anaconda\.cloud|continuum\.io))(?:/|$)", re.IGNORECASE)
# `${TOKEN}@` is a variable of the build, no secret.
_VARIABLE_USER = re.compile(r"\$\{?\w+\}?(?::\$\{?\w+\}?)?@")


def require_buildable(env: EnvironmentContents) -> None:
    """Raise `InvalidEnvironment` with everything that keeps an environment from being built, `ConfigurationError` for its files."""
    problems = tuple(problem for problem in find_problems(env) if problem.is_error)
    if problems:
        raise InvalidEnvironment(name=env.name, problems=problems)


def define(env: EnvironmentContents) -> Definition:
    """Return the definition of an environment that can be built. Raises as `require_buildable`."""
    require_buildable(env)
    # What nobody could read again would be a version for ever.
    return Definition.parse(describe(env).render())


def find_problems(env: EnvironmentContents) -> tuple[Problem, ...]:
    """Return errors and warnings. Raises `ConfigurationError` for a file that cannot be read."""
    found = [*_judge_name(env.name), *_judge_docker(env), *_judge_python(env)]
    if not any(problem.code == "base-image-invalid" for problem in found):
        found.extend(_judge_definition(describe(env)))
    return tuple(found)


def _error(code: str, message: str, change: str) -> Problem:
    return Problem(code=code, message=message, change=change)


def _warning(code: str, message: str, change: str) -> Problem:
    return Problem(code=code, message=message, change=change, is_error=False)


def _judge_name(name: str) -> Iterator[Problem]:
    if len(name) > _NAME_LIMIT:
        yield _error("name-too-long", f"the name has {len(name)} characters", f"give it {_NAME_LIMIT} at most")
    elif not _NAME.fullmatch(name):
        change = "use letters, digits, `.`, `_` and `-`, with a letter or digit first"
        yield _error("name-invalid", f"`{name}` cannot be the name of an environment", change)


def _judge_docker(env: EnvironmentContents) -> Iterator[Problem]:
    docker, registry = env.docker, env.docker.registry
    if docker.base_image is not None and docker.base_dockerfile is not None:
        change = "keep one: `env.docker.base_image = None` or `env.docker.base_dockerfile = None`"
        yield _error("too-many-docker-options", "both a base image and a Dockerfile are given", change)
    if (registry.username is None) != (registry.password is None):
        missing = "password" if registry.password is None else "username"
        change = (
            f"set `env.docker.base_image_registry.{missing}`, or neither: the machine's own credentials are used then"
        )
        yield _error("credentials-incomplete", f"the registry's {missing} is missing", change)
    if docker.base_image is None:
        return
    try:
        reference = Reference.parse(docker.base_image)
    except InvalidValue as err:
        change = "write NAME:TAG or NAME@DIGEST, as `docker pull` takes it"
        yield _error("base-image-invalid", err.summary, change)
        return
    if reference.tag in (None, "latest") and reference.digest is None:
        message = f"the base image `{docker.base_image}` has neither version nor digest: it may be another one tomorrow"
        yield _warning("base-image-unpinned", message, "name a tag, or better a digest: NAME@sha256:…")


def _judge_python(env: EnvironmentContents) -> Iterator[Problem]:
    python, dependencies = env.python, env.python.conda_dependencies
    has_base = env.docker.base_image is not None or env.docker.base_dockerfile is not None
    if python.user_managed_dependencies and not has_base:
        change = "set `env.docker.base_image` or `env.docker.base_dockerfile`, or let pybuild install: leave it unset"
        yield _error("no-python", "`user_managed_dependencies` is set, and no base image brings a Python", change)
    version: object = python.version
    if version is not None and not (isinstance(version, str) and re.fullmatch(r"\S+", version)):
        message = f"`{version}` is no version of Python"
        yield _error("python-version-invalid", message, 'write it in quotes, without blanks: `"3.12"`')
    if not python.user_managed_dependencies and python.interpreter_path not in ("", "python"):
        message = "`interpreter_path` counts with `user_managed_dependencies` only"
        change = "set `env.python.user_managed_dependencies = True`, or leave it out"
        yield _warning("interpreter-ignored", message, change)
    others = {
        "`user_managed_dependencies` is set": python.user_managed_dependencies,
        "the environment is that of a Poetry project": python.poetry is not None,
        "the environment is that of a repository": env.repository is not None or bool(env.repository_files),
    }
    reason = next((text for text, holds in others.items() if holds), None)
    if reason is None:
        yield from _judge_channels(dependencies)
        yield from _judge_packages(dependencies)
    elif dependencies.conda_packages or dependencies.pip_packages:
        message = f"{reason}, so the packages of `conda_dependencies` are not installed"
        yield _warning("packages-ignored", message, "remove them, or make another environment")


def _judge_channels(dependencies: CondaDependencies) -> Iterator[Problem]:
    channels = dependencies.conda_channels
    for channel in channels:
        if channel.strip().lower().rstrip("/") in _ANACONDA or _ANACONDA_HOST.match(channel):
            others = [other for other in channels if other not in (channel, NODEFAULTS)]
            change = f'write `env.python.conda_dependencies.remove_channel("{channel}")`'
            change += "" if others else ', and `add_channel("conda-forge")`'
            change += f"; in environment.yml, below `channels:`, remove `- {channel}`"
            change += "" if others else ", and write `- conda-forge` in its place"
            message = f"the channel `{channel}` is Anaconda's, whose limits and licence break builds"
            yield _error("anaconda-channel", message, change)
    if dependencies.installer == "conda" and not [channel for channel in channels if channel != NODEFAULTS]:
        message = "there are conda packages and no channel, which would mean Anaconda's"
        change = 'write `env.python.conda_dependencies.add_channel("conda-forge")`'
        yield _error("no-channels", message, f"{change}; in environment.yml, `- conda-forge` below `channels:`")


def _judge_packages(dependencies: CondaDependencies) -> Iterator[Problem]:
    names = [conda_name(package) for package in dependencies.conda_packages]
    if names.count("python") > 1:
        yield _error("several-pythons", "`python` is listed more than once", "keep one")
    elif dependencies.installer == "conda" and "python" not in names:
        message = "`python` is not listed: it is there only if a package needs it, in the newest version that fits"
        change = 'write `env.python.conda_dependencies.set_python_version("3.12")`'
        yield _warning(
            "no-python-version", message, f"{change}; in environment.yml, `- python=3.12` below `dependencies:`"
        )
    unpinned = [*_unpinned_conda(dependencies), *_unpinned_pip(dependencies)]
    if unpinned:
        shown = ", ".join(f"`{name}`" for name in unpinned)
        yield _warning("unpinned", f"no version is asked of {shown}", "name versions where two builds must agree")


def _unpinned_conda(dependencies: CondaDependencies) -> Iterator[str]:
    return (package for package in dependencies.conda_packages if re.fullmatch(r"[\w.:-]+", package))


def _unpinned_pip(dependencies: CondaDependencies) -> Iterator[str]:
    return (line for line in dependencies.pip_packages if re.fullmatch(r"[\w.-]+(?:\[[^\]]*\])?", line))


def _judge_repository(definition: Definition) -> Iterator[Problem]:
    if definition.repository is None and not definition.files:
        return
    if definition.image or definition.dockerfile or definition.variables or definition.user_managed:
        change = "write it into the repository: a Dockerfile, `variables:` of its environment.yml"
        yield _error("repository-with-more", "an environment of a repository has nothing besides it", change)
    if definition.repository is not None and "#" not in definition.repository:
        message = (
            f"`{mask_credentials(definition.repository)}` names no version: it is whatever is there when it is built"
        )
        yield _warning("repository-unpinned", message, "name a tag or commit: `URL#v1.0`")
    if secrets := [path for path in definition.files if looks_secret(PurePosixPath(path).name)]:
        shown = ", ".join(f"`{path}`" for path in secrets)
        message = f"{shown} looks like a secret, and everybody who reads the environment reads it"
        yield _warning(
            "secret-file", message, "remove it from the directory, and give it to the container when it starts"
        )


def _judge_definition(definition: Definition) -> Iterator[Problem]:
    yield from _judge_repository(definition)
    size = len((definition.dockerfile or "").encode())
    if size > _DOCKERFILE_LIMIT:
        message = f"the Dockerfile has {size} bytes"
        yield _error(
            "dockerfile-too-large", message, f"keep it within {_DOCKERFILE_LIMIT}; larger files can be downloaded in it"
        )
    variables: Mapping[str, object] = definition.variables
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name):
            change = "use letters, digits and `_`, with no digit in front"
            yield _error("variable-invalid", f"`{name}` cannot be the name of a variable", change)
        elif not isinstance(value, str):
            yield _error("variable-invalid", f"the value of `{name}` is no text", f'write it in quotes: `"{value}"`')
        elif not is_one_line(value):
            yield _error("variable-invalid", f"the value of `{name}` has several lines", "write it in one line")
        elif name == "PATH" and not (definition.image or definition.dockerfile):
            change = "give it with a base image, which is known to have what it names, or leave it out"
            yield _error("variable-reserved", "`PATH` is set by what is installed", change)
        elif value and _SECRET_VARIABLE.search(name):
            message = f"the variable `{name}` looks like a secret, and everybody who has the image can read it"
            yield _warning("secret-variable", message, "give it to the container when it starts")
    text = _VARIABLE_USER.sub("@", definition.render().decode())
    if mask_credentials(text) != text:
        shown = next(line for line in mask_credentials(text).split('"') if "***" in line)
        change = "leave it out: the machine's credentials are used (pip.conf, .netrc, rattler's and Docker's files, git's helpers)"
        yield _error("credentials-in-url", f"`{shown[:200]}` has a password or token in it", change)
