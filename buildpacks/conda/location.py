"""Which files of a repository say what is installed: an environment file, or a lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from buildpacks.conda.errors import invalid
from buildpacks.conda.failures import lock_failure
from buildpacks.conda.settings import ENVIRONMENT_VARIABLE, LOCK_VARIABLE, Settings

# conda's own name first: it wins where both are there.
DEFAULT_FILES = ("environment.yml", "environment.yaml")
# In the order of precedence: the first two say which platforms they are for.
_LOCKS = ("conda-lock.yml", "conda-lock.yaml", "pixi.lock")


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


def find_repository_lock(app_dir: Path, settings: Settings, *, platform: str = "linux-64") -> Path | None:
    """Return the lock that is used, or `None`. Raises `InvalidRepositoryLock` for one that is named and not there."""
    if not settings.use_lock:
        return None
    if settings.lock_file is not None:
        path = app_dir / settings.lock_file
        inside = path.resolve().is_relative_to(app_dir.resolve())
        if not inside or not path.is_file():
            raise lock_failure(
                settings.lock_file,
                "is not there" if inside else "is outside of the repository",
                f"`{LOCK_VARIABLE}` names a file, relative to the root of the repository",
            )
        return path
    found = find_usual_locks(app_dir, platform)
    return found[0] if found else None


def find_usual_locks(app_dir: Path, platform: str) -> list[Path]:
    """Return the locks that are there under usual names; the first one counts."""
    # `conda-lock render` names explicit files so. A link may lead out of the repository: it is not followed.
    names = (*_LOCKS, f"conda-{platform}.lock")
    return [path for path in (app_dir / name for name in names) if path.is_file() and not path.is_symlink()]


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
