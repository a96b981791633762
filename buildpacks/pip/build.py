"""Build: the requirement files are read, resolved to a lock, and the lock is installed into the layer `venv`."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from buildpacks.installer.bytecode import compile_modules
from buildpacks.installer.commands import ToolRun
from buildpacks.installer.errors import DiskFull
from buildpacks.installer.fingerprint import WRITES_APP_DIRECTORY, differences, make_fingerprint
from buildpacks.installer.inputs import make_inputs
from buildpacks.installer.install import clean, install_lock, make_environment
from buildpacks.installer.lock import Lock, read_lock
from buildpacks.installer.projects import Files, list_files, remove_leftovers
from buildpacks.installer.settings import Settings, read_settings
from buildpacks.installer.steps import choose_installer, kept_lock, make_lock, read_wanted
from buildpacks.installer.tools import Tools, find_python, find_tools
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
    tools = find_tools(context, choose_installer(context, settings, found), find_python(context))
    run = ToolRun(context=context, found=found, cache_dir=cache_dir)
    # Whatever happens next, what was downloaded stays.
    context.keep_on_failure(_CACHE)
    projects = found.local_projects
    before = list_files(projects)
    lock = _lock(run, settings, tools, names)
    # Asking a project for its metadata may have written it down beside the sources.
    remove_leftovers(projects, before)
    fingerprint = make_fingerprint(lock, found, tools)
    venv = _venv_layer(context, fingerprint)
    if not _is_unchanged(context, venv):
        _install(run, tools, lock)
        remove_leftovers(projects, before)
        venv = _venv_layer(context, {**fingerprint, **_app_changes(context, before, list_files(projects))})
    return BuildResult(layers=(_CACHE, venv))


def _lock(run: ToolRun, settings: Settings, tools: Tools, names: tuple[str, ...]) -> Lock:
    """The lock of an earlier build while nothing that decides it has changed, else a new one."""
    inputs = make_inputs(run.found, python=str(tools.python), installer="pip" if tools.uv is None else "uv")
    if read_lock(run.cache_dir) is None:
        run.context.say(f"Resolving {', '.join(names)}")
    return kept_lock(run, settings, inputs) or make_lock(run, settings, tools, inputs)


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


def _install(run: ToolRun, tools: Tools, lock: Lock) -> None:
    context, venv = run.context, run.context.layer_dir(VENV_LAYER)
    tools = make_environment(run, tools, venv)
    install_lock(run, tools, lock)
    clean(venv, lock, tools.pip)
    context.say("Compiling to bytecode")
    library = venv / "lib" / f"python{tools.python.minor}" / "site-packages"
    compiled = compile_modules(context, library, store=run.cache_dir / "bytecode", python=tools.python)
    context.say(f"Bytecode: {compiled.compiled} files compiled, {compiled.reused} from the cache")


def _app_changes(context: BuildContext, before: Files, after: Files) -> Mapping[str, object]:
    """What the next build must know of what installing local projects did to them."""
    if before == after:
        return {}
    # An extension module built into an editable project is a part of the app directory, which starts afresh with every
    # build.
    context.notice("installing the local projects has written files into the app directory: every build repeats it")
    return {WRITES_APP_DIRECTORY: True}
