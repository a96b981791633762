"""What the repository asks for: its environment file, or a lock of its own, judged before anything is downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from buildpacks.conda.channels import check_channels
from buildpacks.conda.dependency import package_name
from buildpacks.conda.location import EnvironmentLocation, find_environment_file, find_repository_lock
from buildpacks.conda.repository_lock import RepositoryLock, read_repository_lock
from buildpacks.conda.settings import LOCK_VARIABLE, Settings
from buildpacks.conda.specification import Entry, EnvironmentFile, read_environment_file
from buildpacks.conda.targets import CondaTarget
from buildpacks.installer.reader import EmbeddedLines
from lifecycle.cnb.kit import BuildContext

_REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be installed. Without a lock of the repository it is solved."""

    name: str
    """The file that says it, relative to the app directory."""
    channels: tuple[str, ...]
    """Without `nodefaults`; with a lock those of its packages. They may hold credentials: mask them."""
    specs: tuple[Entry, ...]
    pip: EmbeddedLines | None
    """What pip has to install; `None`: nothing."""
    variables: tuple[tuple[str, str], ...]
    lock: RepositoryLock | None

    @property
    def needs_pip(self) -> bool:
        """Whether pip has to come from the channels although nobody asks for it there."""
        return self.pip is not None and not any(package_name(spec.text) == "pip" for spec in self.specs)


def read_wanted(context: BuildContext, settings: Settings, target: CondaTarget) -> Wanted:
    """Return what to install, having said what the user should know of it.

    Raises `InvalidEnvironmentFile`, `ChannelPolicyViolation` and `InvalidRepositoryLock`.
    """
    location = find_environment_file(context.app_dir, settings)
    file = None if location is None else _read_file(context, location)
    _notice_requirements(context, file)
    lock_path = find_repository_lock(context.app_dir, settings, platform=target.platform)
    if lock_path is not None:
        lock = read_repository_lock(
            lock_path, app_dir=context.app_dir, target=target, environment=file, settings=settings
        )
        for notice in lock.notices:
            context.notice(notice)
        beside = "" if file is None else f"; `{LOCK_VARIABLE}=none` solves `{file.name}` instead"
        context.say(f"Installing what `{lock.name}` has locked, without a solve{beside}")
        return _from_lock(lock, EmbeddedLines(path=lock_path, lines=tuple(enumerate(lock.pip, 1))), location, file)
    if not settings.use_lock and (passed_over := _find_any_lock(context, settings, target)) is not None:
        context.notice(f"`{passed_over.name}` is passed over, because `{LOCK_VARIABLE}` is `none`")
    if location is None or file is None:
        # Detection has seen a file; only a test that leaves it out comes here.
        raise FileNotFoundError(os.fspath(context.app_dir / "environment.yml"))
    decision = check_channels(file, settings.nodefaults, alias=settings.channel_alias, mirrors=settings.mirrors)
    for notice in decision.notices:
        context.notice(notice)
    if settings.nodefaults == "rewrite" and decision.patch is not None:
        for line in decision.patch.splitlines():
            context.say(line)
    wanted = Wanted(
        name=file.name,
        channels=decision.channels,
        specs=decision.dependencies,
        pip=_pip_lines(location, file),
        variables=file.variables,
        lock=None,
    )
    if wanted.needs_pip:
        context.notice(
            f"{file.name}: a `pip:` section without `pip` among the dependencies: pip is installed too; add `- pip` to say so"
        )
    return wanted


def _notice_requirements(context: BuildContext, file: EnvironmentFile | None) -> None:
    """Many repositories have both files, one of them for another way to install."""
    lines = () if file is None else file.pip
    if (context.app_dir / _REQUIREMENTS).is_file() and not any(_REQUIREMENTS in line.text for line in lines):
        context.notice(
            f"`{_REQUIREMENTS}` is not installed, because conda's file comes first: write `- -r {_REQUIREMENTS}` "
            "below `pip:` to install both, or build with `--buildpack python --buildpack pip`"
        )


def _find_any_lock(context: BuildContext, settings: Settings, target: CondaTarget) -> Path | None:
    return find_repository_lock(
        context.app_dir, replace(settings, use_lock=True, lock_file=None), platform=target.platform
    )


def _read_file(context: BuildContext, location: EnvironmentLocation) -> EnvironmentFile:
    file = read_environment_file(location.path, name=location.name)
    for notice in (*location.notices, *file.notices):
        context.notice(notice)
    return file


def _from_lock(
    lock: RepositoryLock,
    locked_lines: EmbeddedLines,
    location: EnvironmentLocation | None,
    file: EnvironmentFile | None,
) -> Wanted:
    # An explicit lock has no word for pip's packages: then they are in the environment file.
    pip = locked_lines if lock.pip else None
    if pip is None and location is not None and file is not None:
        pip = _pip_lines(location, file)
    return Wanted(
        name=lock.name,
        channels=lock.channels,
        specs=() if file is None else file.dependencies,
        pip=pip,
        variables=() if file is None else file.variables,
        lock=lock,
    )


def _pip_lines(location: EnvironmentLocation, file: EnvironmentFile) -> EmbeddedLines | None:
    if not file.pip:
        return None
    return EmbeddedLines(path=location.path, lines=tuple((entry.origin.line, entry.text) for entry in file.pip))
