"""The steps from requirement lines to a lock, as every buildpack takes them that installs Python packages.

found = read_wanted(…)                     what is asked for, with all problems at once
installer = choose_installer(…)            uv, or pip where uv cannot
run = prepare_foreign(…)                   in a build for another architecture: what has to be known before
inputs = make_inputs(…)                    what decides the lock
lock = kept_lock(…) or make_lock(…)        that of an earlier build, or a new one
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildpacks.installer.commands import ToolRun, private_directory
from buildpacks.installer.diagnosis import diagnose
from buildpacks.installer.errors import InstallationFailed
from buildpacks.installer.fingerprint import WRITES_APP_DIRECTORY
from buildpacks.installer.foreign import Foreign, check_wheels, check_written, read_name, with_names
from buildpacks.installer.indexes import read_index_settings
from buildpacks.installer.inputs import LockInputs
from buildpacks.installer.installed import Distribution
from buildpacks.installer.lock import Lock, LockEntry, describe_age, new_lock, read_lock, write_lock
from buildpacks.installer.projects import Files
from buildpacks.installer.reader import EmbeddedLines, RequirementLine, RequirementSet, read_requirements
from buildpacks.installer.resolve import resolve_with_pip, resolve_with_uv
from buildpacks.installer.settings import INSTALLER_VARIABLE, REFRESH_VARIABLE, Installer, Settings
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


def choose_installer(
    context: BuildContext, settings: Settings, found: RequirementSet, foreign: Foreign | None = None
) -> Installer:
    """Return the installer that was asked for, or pip with a notice where uv cannot install what was found.

    For another architecture it is uv. Raises `InstallationFailed` where that cannot do it.
    """
    if foreign is not None:
        check_foreign(found, foreign)
        if settings.installer == "pip":
            context.notice(f"`{INSTALLER_VARIABLE}`: uv installs for {foreign.platform}, because pip cannot")
        return "uv"
    reason = _needs_pip(found) if settings.installer == "uv" else None
    if reason is not None:
        context.notice(f"{reason}: pip installs instead of uv")
    return settings.installer if reason is None else "pip"


def check_foreign(found: RequirementSet, foreign: Foreign) -> None:
    """Raise `InstallationFailed` for what an environment for another architecture cannot be made of: what only pip installs,
    what is built altogether, wheels for other machines.
    """
    change = f"change that, or build the image on a {foreign.platform} machine"
    # Among wheels alone there is nothing to prefer.
    others = tuple(option for option in found.options.pip_only if option[1] != "--prefer-binary")
    reason = _needs_pip(replace(found, options=replace(found.options, pip_only=others)))
    if reason is not None:
        problem = f"{reason}, and pip cannot install for {foreign.platform}"
        raise InstallationFailed(problem=problem, details=(), change=change)
    if ":all:" in found.options.no_binary:
        problem = f"`--no-binary :all:` has every package built, which would be for this machine and not for {foreign.platform}"
        raise InstallationFailed(problem=problem, details=(), change=change)
    check_wheels(found, foreign)


def prepare_foreign(run: ToolRun, tools: Tools, python: Python) -> ToolRun:
    """Return the run with what `python` is for, where that is another architecture: then every project has its name.

    Raises `InstallationFailed`.
    """
    if python.foreign is None or tools.uv is None:
        return run
    uv = tools.uv
    options = replace(run.found.options, pip_only=())
    found = with_names(replace(run.found, options=options), lambda line: _ask_for_name(run, uv, python, line))
    return replace(run, foreign=python.foreign, found=found)


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


def changes_of_projects(
    context: BuildContext, before: Files, after: Files, foreign: Foreign | None
) -> Mapping[str, object]:
    """Return, as layer metadata, what the next build must know of what installing local projects did to them.

    Raises `InstallationFailed` where that is of no use for the architecture that the environment is for.
    """
    if before == after:
        return {}
    if foreign is not None:
        check_written(before, after, foreign, app_dir=context.app_dir)
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


def _ask_for_name(run: ToolRun, uv: Path, python: Python, line: RequirementLine) -> str:
    """What a project calls itself."""
    plain = replace(run, found=RequirementSet(options=run.found.options))
    with private_directory() as directory:
        source, result = directory / "project.in", directory / "pylock.toml"
        # Where it is wanted does not matter here.
        text = line.requirement.text.partition(" ; ")[0]
        source.write_text(f"{run.found.options.indexes.render()}{text}\n", encoding="utf-8")
        arguments = [
            "pip",
            "compile",
            str(source),
            f"--output-file={result}",
            "--format=pylock.toml",
            "--no-deps",
            "--quiet",
        ]
        done = run.uv(uv, *arguments, f"--python={python.executable}", *plain.uv_options())
        if done.status != 0:
            raise diagnose(done.output, run.found, python)
        return read_name(result)


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
