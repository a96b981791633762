"""A definition becomes a directory that pybuild builds: the files that buildpacks read, and a project.toml that names these buildpacks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.toml import write_toml
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.definition import CondaPackages, Definition, Packages, PipPackages, PoetryPackages
from pybuild.environments.environment_file import FILE_NAME as ENVIRONMENT_FILE
from pybuild.environments.stages import escape_of

DOCKERFILE = "Dockerfile"
REQUIREMENTS, CONSTRAINTS, PYTHON_VERSION = "requirements.txt", "constraints.txt", ".python-version"
_PROJECT = "project.toml"
_SCHEMA = "0.2"
DOCKERFILE_BUILDPACK = "pybuild/dockerfile"
_VARIABLES_BUILDPACK = "environment/variables"


def write_context(definition: Definition, directory: Path) -> None:
    """Write the build context of a definition into `directory`, which is made if it is not there; equal ones get equal bytes.

    Raises:
        InvalidValue: the environment is that of a repository elsewhere, which is its own context.
        OSError: the files cannot be written.
    """
    if definition.repository is not None:
        raise InvalidValue("the definition", "is that of a repository", f"build `{definition.repository}` itself")
    directory.mkdir(parents=True, exist_ok=True)
    if definition.files:
        write_files(definition.files, directory)
        return
    dockerfile = render_dockerfile(definition)
    if dockerfile is not None:
        (directory / DOCKERFILE).write_text(dockerfile, encoding="utf-8", newline="\n")
    if definition.packages is not None:
        _write_packages(definition.packages, directory)
    write_toml(directory / _PROJECT, _describe_project(definition))


def needs_trust(definition: Definition) -> bool:
    """Whether its context has a buildpack of its own, which a build has to be told to trust."""
    return bool(definition.variables) and render_dockerfile(definition) is None


def render_dockerfile(definition: Definition) -> str | None:
    """Return the Dockerfile of what the environment stands on, with its variables; `None`: it is the builder's run image."""
    if definition.dockerfile is None and definition.image is None:
        return None
    text = definition.dockerfile or f"FROM {definition.image}\n"
    escape = escape_of(text)
    lines = (f'ENV {name}="{_escape(value, escape)}"\n' for name, value in sorted(definition.variables.items()))
    return "".join((text, *lines))


def write_files(files: Mapping[str, str], directory: Path) -> None:
    """Write texts by their paths below `directory`."""
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")


def _write_packages(packages: Packages, directory: Path) -> None:
    match packages:
        case CondaPackages():
            CondaDependencies.of(packages).save(directory / ENVIRONMENT_FILE)
        case PipPackages():
            lines = packages.requirements
            if packages.constraints:
                lines = (*lines, f"-c {CONSTRAINTS}")
                _write_lines(directory / CONSTRAINTS, packages.constraints)
            _write_lines(directory / REQUIREMENTS, lines)
            if packages.python_version is not None:
                _write_lines(directory / PYTHON_VERSION, (packages.python_version,))
        case PoetryPackages():
            write_files(packages.files, directory)


def _write_lines(path: Path, lines: tuple[str, ...]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _describe_project(definition: Definition) -> Mapping[str, object]:
    group: list[Mapping[str, object]] = []
    variables: dict[str, str] = {}
    if render_dockerfile(definition) is not None:
        group.append({"id": DOCKERFILE_BUILDPACK})
    if definition.packages is not None:
        group.append({"id": f"pybuild/{definition.packages.installer}"})
    if needs_trust(definition):
        script = {"api": "0.10", "inline": _render_script(definition.variables)}
        group.append({"id": _VARIABLES_BUILDPACK, "script": script})
    if definition.user_managed:
        variables["BP_USER_MANAGED_DEPENDENCIES"] = "true"
        if definition.interpreter is not None:
            variables["BP_INTERPRETER_PATH"] = definition.interpreter
    build = {"env": [{"name": name, "value": value} for name, value in variables.items()]}
    return {
        "_": {"schema-version": _SCHEMA},
        "io": {"buildpacks": {"group": group, "build": build if variables else None}},
    }


def _render_script(variables: Mapping[str, str]) -> str:
    """A layer with the variables of the image: https://github.com/buildpacks/spec/blob/main/buildpack.md#provided-by-the-buildpacks."""
    lines = [
        'layer="$CNB_LAYERS_DIR/variables"',
        'mkdir -p "$layer/env.launch"',
        "printf '[types]\\nlaunch = true\\n' > \"$layer.toml\"",
    ]
    for name, value in sorted(variables.items()):
        lines.append(f'printf %s {shlex.quote(value)} > "$layer/env.launch/{name}.default"')
    return "\n".join(("set -e", *lines))


def _escape(value: str, escape: str) -> str:
    return "".join(f"{escape}{character}" if character in ('"', "$", escape) else character for character in value)
