"""Build: Poetry reads, checks and locks; what it locked is installed into the layer `venv`, and the project beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildpacks.installer.bill import render_bill
from buildpacks.installer.contents import read_contents
from buildpacks.installer.errors import naming_full_disk
from buildpacks.installer.fingerprint import describe_python, differences, make_fingerprint
from buildpacks.installer.install import LOCK_NAME
from buildpacks.installer.layers import CACHE, CACHE_LAYER, VENV_LAYER, is_unchanged, make_venv_layer
from buildpacks.installer.projects import list_files, remove_leftovers
from buildpacks.installer.steps import changes_of_projects, check_foreign
from buildpacks.installer.tools import find_python, find_tools
from buildpacks.poetry.install import install
from buildpacks.poetry.kept import Answer
from buildpacks.poetry.locking import ask_poetry
from buildpacks.poetry.packages import read_packages
from buildpacks.poetry.project import LOCK
from buildpacks.poetry.reading import read_project
from buildpacks.poetry.root_project import hash_root
from buildpacks.poetry.selection import select_extras, select_groups
from buildpacks.poetry.settings import CONSTRAINTS_VARIABLE, read_settings
from buildpacks.poetry.work import Work
from lifecycle.cnb.kit import BuildContext, BuildResult


def build(context: BuildContext) -> BuildResult:
    """Return the layers with the packages and the cache.

    Raises the errors of `buildpacks.poetry.errors`, `buildpacks.poetry.failures` and `buildpacks.installer.errors`.
    """
    with naming_full_disk():
        return _build(context)


def _build(context: BuildContext) -> BuildResult:
    work = _read(context)
    # Whatever happens next, what was downloaded stays.
    context.keep_on_failure(CACHE)
    answer = ask_poetry(work)
    packages = read_packages(work, answer)
    if work.python.foreign is not None:
        check_foreign(packages.found, work.python.foreign)
    if not packages.lock.entries:
        context.notice("pyproject.toml: nothing to install; the environment has pip and no other package")
    tools = find_tools(context, "uv")
    fingerprint = {
        **make_fingerprint(
            packages.lock,
            packages.found,
            installer=_describe(work, tools.version),
            pip=tools.pip,
            target=context.target,
        ),
        **describe_python(work.python),
        "the way of installing": work.settings.installer,
        "the project": hash_root(context.app_dir, work.project),
        LOCK: "" if answer.lock is None else hashlib.sha256(answer.lock.encode()).hexdigest(),
    }
    venv = make_venv_layer(context, fingerprint)
    if not is_unchanged(context, venv, differences):
        projects = _written_projects(work, packages.found.local_projects)
        before = list_files(projects)
        install(work, tools, answer, packages, venv=context.layer_dir(VENV_LAYER))
        remove_leftovers(projects, before)
        changes = changes_of_projects(context, before, list_files(projects), work.python.foreign)
        bill = render_bill(read_contents(context.layers_dir / VENV_LAYER, packages.lock.entries))
        venv = replace(make_venv_layer(context, {**fingerprint, **changes}), sbom=bill)
    return BuildResult(layers=(CACHE, venv), locks=_locks(packages.lock.render(), answer))


def _read(context: BuildContext) -> Work:
    settings = read_settings(context.env)
    project = read_project(context.app_dir, settings)
    for notice in project.notices:
        context.notice(notice)
    if settings.constraints:
        context.notice(f"`{CONSTRAINTS_VARIABLE}` is not applied: what is installed is what {LOCK} says")
    return Work(
        context=context,
        settings=settings,
        project=project,
        groups=select_groups(project, settings),
        extras=select_extras(project, settings),
        python=find_python(context),
        cache_dir=context.layer_dir(CACHE_LAYER, keep=True),
    )


def _describe(work: Work, uv: str) -> str:
    return f"{uv}, poetry {work.settings.version.text}"


def _written_projects(work: Work, local: tuple[Path, ...]) -> tuple[Path, ...]:
    """The projects whose installation runs programs that may write beside their sources."""
    return local if work.project.build_script is None else (*local, work.context.app_dir)


def _locks(requirements: str, answer: Answer) -> Mapping[str, str]:
    """The locks for the report: that of Poetry where the repository has none that could be used."""
    return {LOCK_NAME: requirements, **({} if answer.lock is None else {LOCK: answer.lock})}
