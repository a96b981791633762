"""Which file is the Dockerfile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from buildpacks.dockerfile.errors import InvalidDockerfile, Problem
from buildpacks.installer.errors import InvalidSetting, Origin
from lifecycle.cnb.toml import read_regular_file

FILE_VARIABLE = "BP_DOCKERFILE"
DEFAULT_FILE = "Dockerfile"
# Where people keep Dockerfiles, besides the root.
_NEAR = ("Containerfile", ".deepnote/Dockerfile", "docker/Dockerfile", ".docker/Dockerfile", ".devcontainer/Dockerfile")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileLocation:
    """A Dockerfile that is there. `path` is a regular file inside of the app directory, without links in it."""

    path: Path
    name: str
    """Relative to the app directory, as people call it."""


def read_file_name(env: Mapping[str, str]) -> str | None:
    """Return the file that is named, relative to the app directory; `None` for the usual one. Raises `InvalidSetting`."""
    value = env.get(FILE_VARIABLE, "").strip()
    if not value:
        return None
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or not value.isprintable():
        allowed = "the path of a file in the repository, relative to its root"
        raise InvalidSetting(variable=FILE_VARIABLE, value=value, allowed=allowed)
    return str(path)


def find_dockerfile(app_dir: Path, name: str | None) -> DockerfileLocation | None:
    """Return the Dockerfile, `name` where one is named, or `None` when there is none.

    Raises `InvalidDockerfile` for what is there and cannot be used: what leads out of the app directory, and what is no file.
    """
    path = app_dir / (name or DEFAULT_FILE)
    try:
        is_there = path.is_symlink() or path.exists()
    except OSError:  # a name that is too long, a part of it that is a file
        return None
    if not is_there or (name is None and path.is_dir() and not path.is_symlink()):
        return None
    return DockerfileLocation(path=_check(app_dir, path, name or DEFAULT_FILE), name=name or DEFAULT_FILE)


def read_dockerfile(location: DockerfileLocation) -> bytes:
    """Return what the file holds. Raises `ConfigurationError`."""
    return read_regular_file(location.path, follow_links=False)


def explain_absence(app_dir: Path, name: str | None) -> str:
    """Return why there is nothing to build, and what was perhaps meant, in one line."""
    if name is not None:
        return f"no `{name}` in the app directory (`{FILE_VARIABLE}` names it)"
    near = _similar_file(app_dir)
    reason = f"no `{DEFAULT_FILE}` in the app directory"
    return f"{reason}, but there is `{near}`: name it with `{FILE_VARIABLE}`" if near else reason


def _check(app_dir: Path, path: Path, name: str) -> Path:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as err:
        raise _invalid(name, "is a symbolic link that leads nowhere") from err
    if not target.is_relative_to(app_dir.resolve()):
        raise _invalid(name, "is a symbolic link that leads out of the app directory")
    if not target.is_file():
        raise _invalid(name, "is not a regular file")
    return target


def _invalid(name: str, message: str) -> InvalidDockerfile:
    problem = Problem(origin=Origin(file=name), kind="file", message=message, change="commit the file itself")
    return InvalidDockerfile(problems=(problem,))


def _similar_file(app_dir: Path) -> str | None:
    for path in sorted(app_dir.iterdir()):
        lowered = path.name.lower()
        if path.is_file() and (lowered.startswith("dockerfile") or lowered.endswith(".dockerfile")):
            return path.name
    return next((name for name in _NEAR if (app_dir / name).is_file()), None)
