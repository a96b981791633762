"""Makes the environment: uv installs what Poetry wants, Poetry installs the project itself, and where it must, everything."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from buildpacks.installer.bytecode import compile_environment
from buildpacks.installer.cache_limit import limit_caches
from buildpacks.installer.commands import ToolRun
from buildpacks.installer.diagnosis import CONTRADICTION, UNEXPLAINED
from buildpacks.installer.errors import InstallationFailed
from buildpacks.installer.foreign import turn_to_image
from buildpacks.installer.foreign_failures import ONLY_SOURCE
from buildpacks.installer.install import clean, install_lock, make_environment
from buildpacks.installer.tools import Python, Tools
from buildpacks.poetry.credentials import with_secrets
from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.explanation import WRONG_HASH, explain, explain_credentials
from buildpacks.poetry.failures import PoetryFailed
from buildpacks.poetry.kept import Answer
from buildpacks.poetry.locking import placed_lock
from buildpacks.poetry.packages import Packages, for_source
from buildpacks.poetry.poetry_tool import find_poetry
from buildpacks.poetry.project import LOCK
from buildpacks.poetry.root_project import remove_secrets
from buildpacks.poetry.settings import INSTALLER_VARIABLE
from buildpacks.poetry.work import Work
from lifecycle.cnb.kit import BuildpackError
from lifecycle.cnb.toml import write_atomically

# Poetry 1.8 only warns, and leaves the project out.
_ROOT_LEFT_OUT = re.compile(r"current project could not be installed: ([^\n]+)")


def install(work: Work, tools: Tools, answer: Answer, packages: Packages, *, venv: Path) -> None:
    """Make the environment in the empty directory `venv`, with its lock in it.

    Raises `InstallationFailed`, `PoetryFailed` and `MissingTool`.
    """
    foreign = work.python.foreign
    run = ToolRun(context=work.context, found=packages.found, cache_dir=work.cache_dir, foreign=foreign)
    inside = make_environment(run, tools, work.python, venv)
    extras = [f"--extras={extra}" for extra in work.extras]
    is_by_poetry = work.settings.installer == "poetry"
    if is_by_poetry and foreign is not None:
        work.context.notice(f"`{INSTALLER_VARIABLE}`: uv installs for {foreign.platform}, because Poetry cannot")
        is_by_poetry = False
    if is_by_poetry or not _is_installed_by_uv(work, run, tools, inside, packages):
        _run_install(work, answer, venv, f"--only={','.join(work.groups)}", *extras, doing="install the packages")
        install_lock(run, tools, inside, replace(packages.lock, entries=()), has_pip=_has_pip(packages))
    elif work.project.package_mode:
        # Poetry removes the packages of an extra that it is not told of, even where it installs nothing but the project.
        _run_install(work, answer, venv, "--only-root", *extras, doing="install the project")
    remove_secrets(venv, work.project)
    clean(venv, packages.lock, tools.pip)
    limit_caches(run, tools, venv)
    if answer.lock is not None:
        write_atomically(venv / LOCK, answer.lock.encode())
    compile_environment(work.context, venv, store=work.cache_dir / "bytecode", python=inside)
    if foreign is not None:
        turn_to_image(venv, foreign)


def _is_installed_by_uv(work: Work, run: ToolRun, tools: Tools, inside: Python, packages: Packages) -> bool:
    """Whether uv has installed all packages. It may refuse a file that Poetry takes: then Poetry goes on from there."""
    try:
        install_lock(run, tools, inside, packages.only(None), has_pip=_has_pip(packages))
        for name in packages.source_urls:
            # The index of the source before the default one, which is there for what builds of its packages need.
            from_source = replace(run, found=for_source(work, packages, name), index_strategy="first-index")
            install_lock(from_source, tools, inside, packages.only(name), has_pip=True)
    except InstallationFailed as err:
        # A lock has one version of each package: what uv calls a contradiction is metadata that it cannot read.
        if run.foreign is not None or not err.problem.endswith((UNEXPLAINED, CONTRADICTION)):
            raise _in_words_of_poetry(err, work) from err
        work.context.notice("uv cannot install what the lock names, for the reason above: Poetry installs instead")
        return False
    return True


def _has_pip(packages: Packages) -> bool:
    return any(entry.name == "pip" for entry in packages.lock.entries)


def _run_install(work: Work, answer: Answer, venv: Path, *options: str, doing: str) -> None:
    poetry = find_poetry(work.context, work.settings, cache_dir=work.cache_dir)
    lock = None if answer.lock is None else with_secrets(answer.lock, work.project)
    with placed_lock(work.context.app_dir, lock):
        done = poetry.run("install", *options, venv=venv)
    if done.status != 0:
        raise explain(done.output, work.project, doing=doing)
    left_out = _ROOT_LEFT_OUT.search(done.output)
    if left_out is not None and work.project.package_mode:
        raise PoetryFailed(
            problem=f"{PYPROJECT}: the project itself cannot be installed: {left_out[1]}",
            change="if it is no package, write `package-mode = false` into `[tool.poetry]`; else add what is missing",
        )


def _in_words_of_poetry(error: InstallationFailed, work: Work) -> BuildpackError:
    """The error with what a user of Poetry would change: the installer speaks of requirement files."""
    if "does not have the hash" in error.problem:
        return replace(error, change=WRONG_HASH)
    refused = re.search(
        r"package index `(\S+)` does not accept|`(\S+)` cannot be read: it wants other credentials", error.problem
    )
    if refused is not None:
        return explain_credentials(refused[1] or refused[2], work.project)
    if re.search(r"there is no (?:package|version)", error.problem):
        return replace(
            error,
            change="the index no longer has what the lock names, or never had: `poetry lock` finds versions that are there",
        )
    if error.problem.endswith(ONLY_SOURCE):
        return replace(
            error,
            change="lock a version that has a wheel; or, if the package is nothing but Python, name it in `no-binary` below "
            "`[installer]` in poetry.toml, so that its wheel is built here",
        )
    if "needs Python" in error.problem or "has no file for" in error.problem:
        return replace(
            error,
            change="narrow `python` in `[tool.poetry.dependencies]`, or choose another version of the package, and lock again",
        )
    return error
