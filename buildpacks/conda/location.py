"""Which file describes the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from buildpacks.conda.document import invalid
from buildpacks.conda.settings import ENVIRONMENT_VARIABLE, Settings

# conda's own name first: it wins where both are there.
DEFAULT_FILES = ("environment.yml", "environment.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentLocation:
    """An environment file that is there. `path` is a regular file inside of the app directory."""

    path: Path
    name: str
    """Relative to the app directory, as people call it."""
    notices: tuple[str, ...]
    """Which other file was passed over."""


def find_environment_file(app_dir: Path, settings: Settings) -> EnvironmentLocation | None:
    """Return the environment file, or `None` when there is none of that name.

    Raises `InvalidEnvironmentFile` for what is there and cannot be used: directories, and what leads out of the app directory.
    """
    names = DEFAULT_FILES if settings.environment_file is None else (settings.environment_file,)
    for name in names:
        _refuse_outside(name)
    found = [name for name in names if _is_there(app_dir / name)]
    if not found:
        return None
    first, *others = found
    notices = tuple(
        f"`{other}` is not read, because there is `{first}`; name it with `{ENVIRONMENT_VARIABLE}`" for other in others
    )
    return EnvironmentLocation(path=_check_file(app_dir, first), name=first, notices=notices)


def _is_there(path: Path) -> bool:
    """Also as a link that leads nowhere: it is named, not passed over."""
    try:
        return path.is_symlink() or path.exists()
    except OSError:  # a name that is too long, a part of it that is a file
        return False


def _refuse_outside(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        change = f"set `{ENVIRONMENT_VARIABLE}` to the path of a file, relative to the app directory"
        raise invalid(name, None, "file", "is not in the app directory", change)


def _check_file(app_dir: Path, name: str) -> Path:
    path = app_dir / name
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as err:
        change = "commit the file itself instead of the link"
        raise invalid(name, None, "file", "is a symbolic link that leads nowhere", change) from err
    if not target.is_relative_to(app_dir.resolve()):
        raise invalid(
            name, None, "file", "is a symbolic link that leads out of the app directory", "commit the file itself"
        )
    if not target.is_file():
        raise invalid(name, None, "file", "is not a regular file", "commit a regular file of this name")
    return target
