"""Build: the environment file is solved to a lock, and the lock is installed into the prefix in the layer `env`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import replace

from buildpacks.conda.client import make_network
from buildpacks.conda.detect import CONDA_ENVIRONMENT
from buildpacks.conda.downloads import complete_hashes
from buildpacks.conda.environment import PipSection, finish_environment, make_prefix
from buildpacks.conda.fingerprint import conda_key, describe_conda, describe_environment, differences
from buildpacks.conda.lock import LockedPackage, render_explicit
from buildpacks.conda.locking import lock_packages
from buildpacks.conda.prefix import ENV_LAYER, EXPLICIT_LOCK_NAME, prefix_path
from buildpacks.conda.settings import read_settings
from buildpacks.conda.stand_in import image_python, standing_in
from buildpacks.conda.targets import find_target
from buildpacks.conda.wanted import read_wanted
from buildpacks.conda.work import Work
from buildpacks.installer import settings as installer_settings
from buildpacks.installer.errors import MissingTool, naming_full_disk
from buildpacks.installer.install import LOCK_NAME as PIP_LOCK_NAME
from buildpacks.installer.into_prefix import WantedInPrefix, read_for_prefix
from buildpacks.installer.layers import CACHE, CACHE_LAYER, is_unchanged
from lifecycle.cnb.environment import read_env_files
from lifecycle.cnb.kit import BuildContext, BuildResult, Layer, LayerTypes
from lifecycle.cnb.layer import remove_tree


def build(context: BuildContext) -> BuildResult:
    """Return the layers with the environment and the cache. Raises the errors of `buildpacks.conda.errors`."""
    with naming_full_disk():
        return _build(context)


def _build(context: BuildContext) -> BuildResult:
    work = _read(context)
    pip = _read_pip_section(work)
    # Whatever happens next, what was downloaded stays.
    context.keep_on_failure(CACHE)
    installer = _rattler_version()
    packages = complete_hashes(work, lock_packages(work, solver=installer))
    conda = describe_conda(packages, platform=work.target.platform, installer=installer, prefix=work.prefix)
    key = conda_key(conda)
    shared = _find_shared(work, _env_layer(work, conda, None))
    restored, is_made, pip_lock = context.restored(ENV_LAYER), False, None
    if pip is not None:
        pip = replace(pip, inputs=replace(pip.inputs, installed=key))
        pip_lock = pip.kept_lock()
        if pip_lock is None:
            make_prefix(work, packages, key=key)
            with standing_in(context, work.prefix, cache_dir=work.cache_dir) as is_running:
                version = image_python(context, work.prefix, is_running=is_running)
                is_made, pip_lock = True, pip.make_lock(work.prefix, version)
    section = None if pip is None or pip_lock is None else PipSection(wanted=pip, lock=pip_lock)
    locks = _render_locks(work, packages, section)
    layer = _env_layer(work, conda, section)
    if restored is not None and restored.path is not None and not is_made:
        layer = replace(layer, env=read_env_files(restored.path / "env"))
    if _is_unchanged(context, layer, is_made=is_made):
        return BuildResult(layers=(CACHE, layer), locks=locks)
    if shared is not None:
        context.say("Using the environment of another repository, whose packages are the same")
        return BuildResult(layers=(CACHE, shared), locks=locks)
    if not is_made:
        make_prefix(work, packages, key=key)
    return BuildResult(layers=(CACHE, finish_environment(work, layer, section, locks)), locks=locks)


def _read(context: BuildContext) -> Work:
    settings = read_settings(context.env)
    target = find_target(context.target, settings)
    wanted = read_wanted(context, settings, target)
    return Work(
        context=context,
        settings=settings,
        wanted=wanted,
        target=target,
        network=make_network(settings, wanted.channels),
        cache_dir=context.layer_dir(CACHE_LAYER, keep=True),
        prefix=prefix_path(context.layers_dir),
    )


def _read_pip_section(work: Work) -> WantedInPrefix | None:
    """What pip has to install. What conda has installed by then is not known yet; all that is wrong with the lines is."""
    if work.wanted.pip is None:
        return None
    settings = installer_settings.read_settings(work.context.env)
    return read_for_prefix(
        work.context, settings, work.wanted.pip, installed="", cache_dir=work.cache_dir / "requirements"
    )


def _rattler_version() -> str:
    """Without loading rattler, which takes longer than all the rest of an unchanged build."""
    try:
        return f"rattler {importlib.metadata.version('py-rattler')}"
    except importlib.metadata.PackageNotFoundError as err:
        raise MissingTool(tool="py-rattler", looked_in="the Python of the buildpacks") from err


def _env_layer(work: Work, conda: Mapping[str, object], section: PipSection | None) -> Layer:
    is_for_build = any(entry.name == CONDA_ENVIRONMENT and entry.metadata.get("build") for entry in work.context.plan)
    described = None if section is None else section.wanted.fingerprint(section.lock)
    return Layer(
        name=ENV_LAYER,
        # Without the cache a layer that others build with would have to be made for every build.
        types=LayerTypes(launch=True, build=is_for_build, cache=is_for_build),
        metadata=describe_environment(conda, pip=described, variables=work.wanted.variables),
        by_packages=True,
    )


def _find_shared(work: Work, layer: Layer) -> Layer | None:
    """The layer, if another application of this machine has made it. Nothing of the repository has run yet."""
    # What pip builds is not decided by the metadata.
    if work.wanted.pip is not None or layer.types.build:
        work.context.never_share(layer.name)
        return None
    return work.context.find_shared(layer)


def _is_unchanged(context: BuildContext, layer: Layer, *, is_made: bool) -> bool:
    """Whether the environment of the last image is what this build would make; then a prefix that is made is not needed."""
    if (is_made and layer.types.build) or not is_unchanged(context, layer, differences):
        return False
    if is_made:
        remove_tree(context.layers_dir / ENV_LAYER)
    return True


def _render_locks(work: Work, packages: tuple[LockedPackage, ...], section: PipSection | None) -> Mapping[str, str]:
    locks = {EXPLICIT_LOCK_NAME: render_explicit(packages, platform=work.target.platform)}
    if section is not None:
        locks[PIP_LOCK_NAME] = section.lock.render()
    return locks
