"""Build: the requirement files are read, resolved to a lock, and the lock is installed into the layer `venv`."""

from __future__ import annotations

import datetime
import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildpacks.pip.bytecode import compile_environment
from buildpacks.pip.commands import ToolRun
from buildpacks.pip.detect import SITE_PACKAGES
from buildpacks.pip.errors import DiskFull
from buildpacks.pip.fingerprint import WRITES_APP_DIRECTORY, differences, make_fingerprint
from buildpacks.pip.indexes import read_index_settings
from buildpacks.pip.inputs import LockInputs, make_inputs
from buildpacks.pip.install import clean, install_with_pip, install_with_uv
from buildpacks.pip.lock import Lock, LockEntry, describe_age, new_lock, read_lock, write_lock
from buildpacks.pip.projects import Files, list_files, remove_leftovers
from buildpacks.pip.reader import RequirementSet, read_requirements
from buildpacks.pip.resolve import resolve_with_pip, resolve_with_uv
from buildpacks.pip.settings import REFRESH_VARIABLE, Settings, read_settings
from buildpacks.pip.tools import PipWheel, Python, find_pip_wheel, find_python, find_uv
from lifecycle.cnb.kit import BuildContext, BuildResult, Layer, LayerTypes

CACHE_LAYER = "cache"
VENV_LAYER = "venv"
_CACHE = Layer(name=CACHE_LAYER, types=LayerTypes(cache=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What this build installs with. `uv` is `None` when pip does it."""

    python: Python
    pip: PipWheel
    uv: Path | None
    installer: str
    """`uv 0.9.1` or `pip 26.3`."""


def build(context: BuildContext) -> BuildResult:
    """Return the layers with the packages and the cache. Raises the errors of `buildpacks.pip.errors`."""
    try:
        return _build(context)
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path=str(err.filename) if err.filename else None) from err
        raise


def _build(context: BuildContext) -> BuildResult:
    settings = read_settings(context.env)
    cache_dir = context.layer_dir(CACHE_LAYER, keep=True)
    found = _read(context, settings, cache_dir)
    tools = _find_tools(context, settings, found)
    run = ToolRun(context=context, found=found, cache_dir=cache_dir)
    # Whatever happens next, what was downloaded stays.
    context.keep_on_failure(_CACHE)
    projects = found.local_projects
    before = list_files(projects)
    lock = _lock(run, settings, tools, cache_dir)
    # Asking a project for its metadata may have written it down beside the sources.
    remove_leftovers(projects, before)
    fingerprint = make_fingerprint(lock, found, python=tools.python, installer=tools.installer, pip=tools.pip)
    venv = _venv_layer(context, fingerprint)
    if not _is_unchanged(context, venv):
        _install(run, tools, lock)
        remove_leftovers(projects, before)
        venv = _venv_layer(context, {**fingerprint, **_app_changes(context, before, list_files(projects))})
    return BuildResult(layers=(_CACHE, venv))


def _read(context: BuildContext, settings: Settings, cache_dir: Path) -> RequirementSet:
    def fetch(url: str) -> bytes:
        from buildpacks.pip.remote import fetch_with_memory  # its imports take longer than an unchanged build

        return fetch_with_memory(cache_dir / "remote", context.notice)(url)

    found = read_requirements(
        settings.files,
        constraints=settings.constraints,
        app_dir=context.app_dir,
        env=context.env,
        indexes=read_index_settings(context.env),
        fetch=fetch,
    )
    for notice in found.notices:
        context.notice(notice)
    if not found.requirements:
        context.notice(f"{', '.join(settings.files)}: nothing to install; the environment has pip and no other package")
    for line in found.requirements:
        if line.is_editable and line.requirement.kind == "vcs":
            context.notice(f"{line.origin}: installed as it is, not as editable: an image has no checkout to edit")
    return found


def _find_tools(context: BuildContext, settings: Settings, found: RequirementSet) -> Tools:
    python, pip = find_python(context), find_pip_wheel(context.env)
    reason = _needs_pip(found) if settings.installer == "uv" else None
    if reason is not None:
        context.notice(f"{reason}: pip installs instead of uv")
    if settings.installer == "pip" or reason is not None:
        return Tools(python=python, pip=pip, uv=None, installer=f"pip {pip.version}")
    uv, version = find_uv(context)
    return Tools(python=python, pip=pip, uv=uv, installer=f"uv {version}")


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


def _lock(run: ToolRun, settings: Settings, tools: Tools, cache_dir: Path) -> Lock:
    """The lock of an earlier build while nothing that decides it has changed, else a new one, which is kept."""
    context = run.context
    inputs = make_inputs(run.found, python=tools.python, installer="pip" if tools.uv is None else "uv")
    old = read_lock(cache_dir)
    if old is not None and old.inputs == inputs and not settings.refresh:
        age = describe_age(old.made, datetime.datetime.now(datetime.timezone.utc))
        context.say(f"Using the lock of {_count(old)} that was made {age}; `--refresh` makes a new one")
        return old
    _explain_resolution(context, old, inputs, settings)
    lock = new_lock(_resolve(run, tools, old=None if settings.refresh else old), inputs)
    write_lock(cache_dir, lock)
    context.say(f"Resolved {_count(lock)}")
    return lock


def _count(lock: Lock) -> str:
    return f"{len(lock.entries)} package{'' if len(lock.entries) == 1 else 's'}"


def _resolve(run: ToolRun, tools: Tools, *, old: Lock | None) -> tuple[LockEntry, ...]:
    if not run.found.requirements:
        return ()
    if tools.uv is None:
        return resolve_with_pip(run, pip=tools.pip, python=tools.python)
    return resolve_with_uv(run, uv=tools.uv, python=tools.python, old=old)


def _explain_resolution(context: BuildContext, old: Lock | None, inputs: LockInputs, settings: Settings) -> None:
    if old is None:
        context.say(f"Resolving {', '.join(settings.files)}")
        return
    context.say("Resolving anew since:")
    reasons = inputs.differences(old.inputs) or (f"`{REFRESH_VARIABLE}` asks for it",)
    for reason in reasons:
        context.say(f"  {reason}")


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
    if tools.uv is None:
        install_with_pip(run, python=tools.python, pip=tools.pip, lock=lock, venv=venv)
    else:
        install_with_uv(run, uv=tools.uv, python=tools.python, pip=tools.pip, lock=lock, venv=venv)
    clean(venv, lock, tools.pip)
    context.say("Compiling to bytecode")
    compiled = compile_environment(context, venv=venv, store=run.cache_dir / "bytecode", python=tools.python)
    context.say(f"Bytecode: {compiled.compiled} files compiled, {compiled.reused} from the cache")


def _app_changes(context: BuildContext, before: Files, after: Files) -> Mapping[str, object]:
    """What the next build must know of what installing local projects did to them."""
    if before == after:
        return {}
    # An extension module built into an editable project is a part of the app directory, which starts afresh with every
    # build.
    context.notice("installing the local projects has written files into the app directory: every build repeats it")
    return {WRITES_APP_DIRECTORY: True}
