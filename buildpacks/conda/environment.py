"""Makes the environment: conda's packages, then what pip installs over them, then what activation gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from buildpacks.conda.activation import activate
from buildpacks.conda.bytecode import find_interpreter, settle_bytecode, settle_changes
from buildpacks.conda.contents import read_contents
from buildpacks.conda.downloads import obtain_archives
from buildpacks.conda.fingerprint import with_pip_changes
from buildpacks.conda.kept_prefix import KeptPrefix
from buildpacks.conda.link_scripts import run_link_scripts
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.locking import count
from buildpacks.conda.prefix import ENV_LAYER, scrub, write_state
from buildpacks.conda.stand_in import image_python, python_version, standing_in
from buildpacks.conda.work import Work
from buildpacks.installer.bill import render_bill
from buildpacks.installer.bytecode import Compiled
from buildpacks.installer.into_prefix import WantedInPrefix
from buildpacks.installer.lock import Lock
from lifecycle.cnb.kit import Layer
from lifecycle.cnb.toml import write_atomically

# The machine's store of archives, which the platform mounts


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSection:
    """What pip installs."""

    wanted: WantedInPrefix
    lock: Lock


def make_prefix(work: Work, packages: tuple[LockedPackage, ...], *, key: str) -> None:
    """Make the prefix as conda's packages leave it, `key` being their name in the cache; what was there before is removed.

    Raises `BrokenArchive`, `UnreachableChannel`, `UnusablePackage`, `LinkScriptFailed`, `CompilationFailed`.
    """
    context, kept = work.context, KeptPrefix(cache_dir=work.cache_dir)
    context.layer_dir(ENV_LAYER)
    if kept.holds(key):
        context.say(f"Using the {count(len(packages))} of conda's that the last build installed")
        kept.restore(work.prefix)
        return
    kept.drop()
    _install(work, packages)
    kept.keep(work.prefix, key)


def finish_environment(work: Work, layer: Layer, section: PipSection | None, locks: Mapping[str, str]) -> Layer:
    """Return `layer`, to whose prefix everything has come that is no package of conda's.

    Raises `InstallationFailed`, `CompilationFailed`, `ActivationFailed`.
    """
    context, prefix = work.context, work.prefix
    if section is not None:
        context.say(f"Installing {count(len(section.lock.entries))} of the `pip:` section")
        with standing_in(context, prefix, cache_dir=work.cache_dir) as is_running:
            version = image_python(context, prefix, is_running=is_running)
            changes = section.wanted.install(section.lock, prefix, version)
            layer = replace(layer, metadata=with_pip_changes(layer.metadata, changes))
            interpreter = find_interpreter(context, prefix)
            if interpreter is not None:
                before = KeptPrefix(cache_dir=work.cache_dir).path
                store = work.cache_dir / "bytecode" / "pip"
                done = settle_changes(context, interpreter, store=store, prefix=prefix, before=before)
                _say_compiled(work, done)
    write_state(prefix, dict(work.wanted.variables))
    for name, text in locks.items():
        write_atomically(prefix / name, text.encode())
    activation = activate(context, prefix)
    for notice in activation.notices:
        context.notice(notice)
    bill = render_bill(read_contents(prefix, None if section is None else section.lock.entries))
    return replace(layer, env=activation.env, sbom=bill)


def _install(work: Work, packages: tuple[LockedPackage, ...]) -> None:
    from buildpacks.conda.install import drop_unused, install_packages  # loads rattler

    context, prefix = work.context, work.prefix
    archives = obtain_archives(work, packages)
    context.say(f"Installing {count(len(packages))}")
    install_packages(archives, prefix=prefix, cache_dir=work.cache_dir, platform=work.target.platform)
    drop_unused(work.cache_dir, archives)
    run_link_scripts(context, prefix, packages)
    scrub(prefix, packages)
    with standing_in(context, prefix, cache_dir=work.cache_dir) as is_running:
        interpreter = find_interpreter(context, prefix) if is_running else None
        if interpreter is not None:
            done = settle_bytecode(context, interpreter, store=work.cache_dir / "bytecode" / "conda")
            _say_compiled(work, done)
        elif context.target.is_foreign and (version := python_version(prefix)) is not None:
            minor = f"{version.major}.{version.minor}"
            context.notice(f"no bytecode: the builder has no Python {minor} for this machine")


def _say_compiled(work: Work, done: Compiled) -> None:
    work.context.say(f"Bytecode: {done.compiled} files compiled, {done.reused} from the cache")
