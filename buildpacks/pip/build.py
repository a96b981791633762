"""Build: the requirement files are read, resolved to a lock, and the lock is installed into the layer `venv`."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from buildpacks.installer.bytecode import compile_modules
from buildpacks.installer.commands import ToolRun
from buildpacks.installer.errors import DiskFull
from buildpacks.installer.fingerprint import describe_python, differences, make_fingerprint
from buildpacks.installer.inputs import make_inputs
from buildpacks.installer.install import LOCK_NAME, clean, install_lock, make_environment
from buildpacks.installer.lock import Lock
from buildpacks.installer.projects import list_files, remove_leftovers
from buildpacks.installer.settings import read_settings
from buildpacks.installer.steps import changes_of_projects, choose_installer, kept_lock, make_lock, read_wanted
from buildpacks.installer.tools import Python, Tools, find_python, find_tools
from buildpacks.pip.detect import SITE_PACKAGES, read_file_names
from lifecycle.cnb.kit import BuildContext, BuildResult, Layer, LayerTypes

CACHE_LAYER = "cache"
VENV_LAYER = "venv"
_CACHE = Layer(name=CACHE_LAYER, types=LayerTypes(cache=True))


def build(context: BuildContext) -> BuildResult:
    """Return the layers with the packages and the cache. Raises the errors of `buildpacks.installer.errors`."""
    try:
        return _build(context)
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path=str(err.filename) if err.filename else None) from err
        raise


def _build(context: BuildContext) -> BuildResult:
    settings = read_settings(context.env)
    cache_dir = context.layer_dir(CACHE_LAYER, keep=True)
    names = read_file_names(context.env)
    found = read_wanted(context, settings, cache_dir, names=names)
    if not found.requirements:
        context.notice(f"{', '.join(names)}: nothing to install; the environment has pip and no other package")
    python = find_python(context)
    tools = find_tools(context, choose_installer(context, settings, found))
    run = ToolRun(context=context, found=found, cache_dir=cache_dir)
    # Whatever happens next, what was downloaded stays.
    context.keep_on_failure(_CACHE)
    projects = found.local_projects
    before = list_files(projects)
    inputs = make_inputs(found, python=str(python), installer="pip" if tools.uv is None else "uv")
    lock = kept_lock(run, settings, inputs) or make_lock(run, settings, tools, python, inputs)
    # Asking a project for its metadata may have written it down beside the sources.
    remove_leftovers(projects, before)
    fingerprint = {
        **make_fingerprint(lock, found, installer=tools.version, pip=tools.pip),
        **describe_python(python),
    }
    venv = _venv_layer(context, fingerprint)
    if not _is_unchanged(context, venv):
        _install(run, tools, python, lock)
        remove_leftovers(projects, before)
        changes = changes_of_projects(context, before, list_files(projects))
        venv = _venv_layer(context, {**fingerprint, **changes})
    return BuildResult(layers=(_CACHE, venv), locks={LOCK_NAME: lock.render()})


def _venv_layer(context: BuildContext, fingerprint: Mapping[str, object]) -> Layer:
    path = context.layers_dir / VENV_LAYER
    is_for_build = any(entry.name == SITE_PACKAGES and entry.metadata.get("build") for entry in context.plan)
    return Layer(
        name=VENV_LAYER,
        # Without the cache a layer that others build with would have to be made for every build.
        types=LayerTypes(launch=True, build=is_for_build, cache=is_for_build),
        metadata=fingerprint,
        env={"VIRTUAL_ENV": str(path)},
    )


def _is_unchanged(context: BuildContext, layer: Layer) -> bool:
    """Whether the environment of the last image, or of the cache, is what this build would make."""
    restored = context.restored(VENV_LAYER)
    if restored is None or (layer.types.build and restored.path is None):
        return False
    found = differences(restored.metadata, layer.metadata)
    if not found:
        context.say("Using the environment of the last build: nothing has changed")
        return True
    context.say("Discarding the environment of the last build since:")
    for difference in found:
        context.say(f"  {difference}")
    return False


def _install(run: ToolRun, tools: Tools, python: Python, lock: Lock) -> None:
    context, venv = run.context, run.context.layer_dir(VENV_LAYER)
    inside = make_environment(run, tools, python, venv)
    install_lock(run, tools, inside, lock)
    clean(venv, lock, tools.pip)
    context.say("Compiling to bytecode")
    library = venv / "lib" / f"python{python.minor}" / "site-packages"
    compiled = compile_modules(context, library, store=run.cache_dir / "bytecode", python=inside)
    context.say(f"Bytecode: {compiled.compiled} files compiled, {compiled.reused} from the cache")
