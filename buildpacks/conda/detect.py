"""Detection: there is an environment file that installs something, or a lock."""

from __future__ import annotations

import os
from pathlib import Path

from buildpacks.conda.errors import InvalidEnvironmentFile
from buildpacks.conda.location import (
    DEFAULT_FILES,
    EnvironmentLocation,
    find_environment_file,
    find_repository_lock,
)
from buildpacks.conda.settings import ENVIRONMENT_VARIABLE, Settings, read_settings
from buildpacks.conda.targets import find_target
from lifecycle.cnb.detecting import BuildpackError, BuildPlan, DetectContext, NotDetected, Requirement

# What this buildpack gives to others: the environment, with whatever Python or R it has. Part of its public interface.
CONDA_ENVIRONMENT = "conda-environment"
_PLAN = BuildPlan(
    provides=(CONDA_ENVIRONMENT,),
    requires=(Requirement(name=CONDA_ENVIRONMENT, metadata={"launch": True}),),
)
_NEAR_NAMES = ("conda.yml", "conda.yaml", "env.yml", "env.yaml")
_NEAR_DIRECTORIES = ("binder", ".binder", "conda", "envs", "requirements", "ci", "docs")


def detect(context: DetectContext) -> BuildPlan:
    """Return a plan that gives the environment. Raises `NotDetected` when there is nothing to install.

    A file that is broken or forbidden is conda's too: `bin/build` says what is wrong with it, before it downloads anything. Were
    it passed over, another buildpack would build something that nobody asked for.
    """
    settings = read_settings(context.env)
    lock = _find_lock(context, settings)
    if lock is not None:
        context.say(f"found the lock `{lock}`")
        return _PLAN
    try:
        location = find_environment_file(context.app_dir, settings)
        if location is None:
            raise NotDetected(_explain_absence(context.app_dir, settings))
        _check_installs_something(location, context)
    except InvalidEnvironmentFile as err:
        context.say(f"found `{err.name}`, which cannot be used as it is: {err.summary}")
    return _PLAN


def _find_lock(context: DetectContext, settings: Settings) -> str | None:
    try:
        platform = find_target(context.target, settings).platform
        path = find_repository_lock(context.app_dir, settings, platform=platform)
    except BuildpackError:
        return settings.lock_file
    return None if path is None else os.path.relpath(path, context.app_dir)


def _check_installs_something(location: EnvironmentLocation, context: DetectContext) -> None:
    # With it comes the YAML library; every build of other repositories runs this program as well.
    from buildpacks.conda.specification import read_environment_file

    file = read_environment_file(location.path, name=location.name)
    if file.installs_nothing:
        where = (
            " (there is a `dependencies:` without packages)" if file.dependencies_origin else " (no `dependencies:`)"
        )
        raise NotDetected(f"`{file.name}` installs nothing{where}")
    context.say(f"found `{file.name}`")
    for notice in location.notices:
        context.say(f"notice: {notice}")


def _explain_absence(app_dir: Path, settings: Settings) -> str:
    if settings.environment_file is not None:
        return f"no `{settings.environment_file}` in the app directory (`{ENVIRONMENT_VARIABLE}` names it)"
    reason = f"no `{DEFAULT_FILES[0]}` in the app directory"
    near = _similar_file(app_dir)
    return f"{reason}, but there is `{near}`: name it with `{ENVIRONMENT_VARIABLE}`" if near else reason


def _similar_file(app_dir: Path) -> str | None:
    """A file that was perhaps meant: under a near name in the app directory, or in the places that binder and its like read."""
    candidates = [Path(name) for name in _NEAR_NAMES]
    candidates += [Path(directory) / name for directory in _NEAR_DIRECTORIES for name in DEFAULT_FILES]
    for candidate in candidates:
        if (app_dir / candidate).is_file():
            return candidate.as_posix()
    lowered = {path.name.lower(): path.name for path in sorted(app_dir.iterdir()) if path.is_file()}
    return next((lowered[name] for name in DEFAULT_FILES if name in lowered), None)
