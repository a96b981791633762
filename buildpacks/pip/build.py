"""Build: the requirement files are read, resolved to a lock, and the lock is installed into the layer `venv`."""

from __future__ import annotations

from dataclasses import replace

from buildpacks.installer.bill import render_bill
from buildpacks.installer.bytecode import compile_environment
from buildpacks.installer.cache_limit import limit_caches
from buildpacks.installer.commands import ToolRun
from buildpacks.installer.contents import read_contents
from buildpacks.installer.errors import naming_full_disk
from buildpacks.installer.fingerprint import describe_python, differences, make_fingerprint
from buildpacks.installer.foreign import turn_to_image
from buildpacks.installer.inputs import make_inputs
from buildpacks.installer.install import LOCK_NAME, clean, install_lock, make_environment
from buildpacks.installer.layers import CACHE, CACHE_LAYER, VENV_LAYER, is_unchanged, make_venv_layer
from buildpacks.installer.lock import Lock
from buildpacks.installer.projects import list_files, remove_leftovers
from buildpacks.installer.settings import read_settings
from buildpacks.installer.steps import (
    changes_of_projects,
    choose_installer,
    kept_lock,
    make_lock,
    prepare_foreign,
    read_wanted,
)
from buildpacks.installer.tools import Python, Tools, find_python, find_tools
from buildpacks.pip.detect import read_file_names
from lifecycle.cnb.kit import BuildContext, BuildResult


def build(context: BuildContext) -> BuildResult:
    """Return the layers with the packages and the cache. Raises the errors of `buildpacks.installer.errors`."""
    with naming_full_disk():
        return _build(context)


def _build(context: BuildContext) -> BuildResult:
    settings = read_settings(context.env)
    cache_dir = context.layer_dir(CACHE_LAYER, keep=True)
    names = read_file_names(context.env)
    found = read_wanted(context, settings, cache_dir, names=names)
    if not found.requirements:
        context.notice(f"{', '.join(names)}: nothing to install; the environment has pip and no other package")
    python = find_python(context)
    tools = find_tools(context, choose_installer(context, settings, found, python.foreign))
    run = ToolRun(context=context, found=found, cache_dir=cache_dir)
    # Whatever happens next, what was downloaded stays.
    context.keep_on_failure(CACHE)
    projects = found.local_projects
    before = list_files(projects)
    run = prepare_foreign(run, tools, python)
    inputs = make_inputs(run.found, python=str(python), installer="pip" if tools.uv is None else "uv")
    lock = kept_lock(run, settings, inputs) or make_lock(run, settings, tools, python, inputs)
    # Asking a project for its metadata may have written it down beside the sources.
    remove_leftovers(projects, before)
    fingerprint = {
        **make_fingerprint(lock, run.found, installer=tools.version, pip=tools.pip, target=context.target),
        **describe_python(python),
    }
    venv = make_venv_layer(context, fingerprint)
    if not is_unchanged(context, venv, differences):
        _install(run, tools, python, lock)
        remove_leftovers(projects, before)
        changes = changes_of_projects(context, before, list_files(projects), python.foreign)
        bill = render_bill(read_contents(context.layers_dir / VENV_LAYER, lock.entries))
        venv = replace(make_venv_layer(context, {**fingerprint, **changes}), sbom=bill)
    return BuildResult(layers=(CACHE, venv), locks={LOCK_NAME: lock.render()})


def _install(run: ToolRun, tools: Tools, python: Python, lock: Lock) -> None:
    context, venv = run.context, run.context.layer_dir(VENV_LAYER)
    inside = make_environment(run, tools, python, venv)
    install_lock(run, tools, inside, lock)
    clean(venv, lock, tools.pip)
    limit_caches(run, tools, venv)
    compile_environment(context, venv, store=run.cache_dir / "bytecode", python=inside)
    if python.foreign is not None:
        turn_to_image(venv, python.foreign)
