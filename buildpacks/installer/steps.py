"""The steps from requirement lines to a lock, as every buildpack takes them that installs Python packages.

found = read_wanted(…)                     what is asked for, with all problems at once
installer = choose_installer(…)            uv, or pip where uv cannot
inputs = make_inputs(…)                    what decides the lock
lock = kept_lock(…) or make_lock(…)        that of an earlier build, or a new one
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

from buildpacks.installer.commands import ToolRun
from buildpacks.installer.fingerprint import WRITES_APP_DIRECTORY
from buildpacks.installer.indexes import read_index_settings
from buildpacks.installer.inputs import LockInputs
from buildpacks.installer.installed import Distribution
from buildpacks.installer.lock import Lock, LockEntry, describe_age, new_lock, read_lock, write_lock
from buildpacks.installer.projects import Files
from buildpacks.installer.reader import EmbeddedLines, RequirementSet, read_requirements
from buildpacks.installer.resolve import resolve_with_pip, resolve_with_uv
from buildpacks.installer.settings import REFRESH_VARIABLE, Installer, Settings
from buildpacks.installer.tools import Python, Tools
from lifecycle.cnb.kit import BuildContext


def read_wanted(
    context: BuildContext,
    settings: Settings,
    cache_dir: Path,
    *,
    names: tuple[str, ...] = (),
    embedded: EmbeddedLines | None = None,
) -> RequirementSet:
    """Return what the requirement files `names` and the `embedded` lines ask for. Raises `InvalidRequirements`."""

    def fetch(url: str) -> bytes:
        from buildpacks.installer.remote import fetch_with_memory  # its imports take longer than an unchanged build

        return fetch_with_memory(cache_dir / "remote", context.notice)(url)

    found = read_requirements(
        names,
        embedded=embedded,
        constraints=settings.constraints,
        app_dir=context.app_dir,
        env=context.env,
        indexes=read_index_settings(context.env),
        fetch=fetch,
    )
    for notice in found.notices:
        context.notice(notice)
    for line in found.requirements:
        if line.is_editable and line.requirement.kind == "vcs":
            context.notice(f"{line.origin}: installed as it is, not as editable: an image has no checkout to edit")
    return found


def choose_installer(context: BuildContext, settings: Settings, found: RequirementSet) -> Installer:
    """Return the installer that was asked for, or pip with a notice where uv cannot install what was found."""
    reason = _needs_pip(found) if settings.installer == "uv" else None
    if reason is not None:
        context.notice(f"{reason}: pip installs instead of uv")
    return settings.installer if reason is None else "pip"


def kept_lock(run: ToolRun, settings: Settings, inputs: LockInputs) -> Lock | None:
    """Return the lock of an earlier build while nothing that decides it has changed; else say why there is none."""
    context = run.context
    old = read_lock(run.cache_dir)
    if old is None:
        context.say("Resolving the requirements")
        return None
    if old.inputs == inputs and not settings.refresh:
        age = describe_age(old.made, datetime.datetime.now(datetime.timezone.utc))
        context.say(f"Using the lock of {_count(old)} that was made {age}; `--refresh` makes a new one")
        return old
    context.say("Resolving anew since:")
    for reason in inputs.differences(old.inputs) or (f"`{REFRESH_VARIABLE}` asks for it",):
        context.say(f"  {reason}")
    return None


def make_lock(
    run: ToolRun,
    settings: Settings,
    tools: Tools,
    python: Python,
    inputs: LockInputs,
    *,
    installed: tuple[Distribution, ...] = (),
) -> Lock:
    """Return a new lock, which is kept for later builds. Without `--refresh` versions of the last one stay where they fit.

    What the environment has `installed` already stays as well where it fits, and is not in the lock. Raises
    `InstallationFailed` and `InvalidRequirements`.
    """
    old = None if settings.refresh else read_lock(run.cache_dir)
    lock = new_lock(_resolve(run, tools, python, old=old, installed=installed), inputs)
    write_lock(run.cache_dir, lock)
    run.context.say(f"Resolved {_count(lock)}")
    return lock


def changes_of_projects(context: BuildContext, before: Files, after: Files) -> Mapping[str, object]:
    """Return, as layer metadata, what the next build must know of what installing local projects did to them."""
    if before == after:
        return {}
    # An extension module built into an editable project is a part of the app directory, which starts afresh with every
    # build.
    context.notice("installing the local projects has written files into the app directory: every build repeats it")
    return {WRITES_APP_DIRECTORY: True}


def _resolve(
    run: ToolRun, tools: Tools, python: Python, *, old: Lock | None, installed: tuple[Distribution, ...]
) -> tuple[LockEntry, ...]:
    if not run.found.requirements:
        return ()
    if tools.uv is None:
        return resolve_with_pip(run, pip=tools.pip, python=python, keep_installed=bool(installed))
    return resolve_with_uv(run, uv=tools.uv, python=python, old=old, installed=installed)


def _needs_pip(found: RequirementSet) -> str | None:
    """Why uv cannot install what was found, or `None`."""
    for origin, option in found.options.pip_only:
        return f"{origin}: uv has no `{option.partition(' ')[0]}`"
    for line in found.requirements:
        scheme = (line.requirement.url or "").partition("+")[0]
        if line.requirement.kind == "vcs" and scheme != "git":
            return f"{line.origin}: uv knows git, and not `{scheme}`"
        if line.config_settings and line.requirement.name is None:
            return f"{line.origin}: uv has `--config-settings` for named packages only"
    return None


def _count(lock: Lock) -> str:
    return f"{len(lock.entries)} package{'' if len(lock.entries) == 1 else 's'}"
