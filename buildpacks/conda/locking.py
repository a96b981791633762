"""The packages of the environment: those of the last lock while nothing that decides it has changed, else newly solved ones."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable

from buildpacks.conda.dependency import package_name
from buildpacks.conda.lock import LockedPackage, LockInputs, new_lock, read_lock, write_lock
from buildpacks.conda.work import Work
from buildpacks.installer.lock import describe_age
from buildpacks.installer.settings import REFRESH_VARIABLE
from lifecycle.cnb.kit import mask_credentials

_SHOWN = 12


def lock_packages(work: Work, *, solver: str) -> tuple[LockedPackage, ...]:
    """Return what to install, each package after those that it depends on. `solver` is a name and a version.

    Raises `UnsolvableEnvironment`, `UnreachableChannel`, `ForbiddenPackage`.
    """
    context, wanted, target = work.context, work.wanted, work.target
    if wanted.lock is not None:
        return wanted.lock.packages
    inputs = LockInputs(
        channels=tuple(work.network.channel_url(channel) for channel in wanted.channels),
        specs=tuple(spec.text for spec in wanted.specs),
        platform=target.platform,
        virtual_packages=target.virtual_packages,
        pins=("pip",) if wanted.needs_pip else (),
        solver=solver,
    )
    old = read_lock(work.cache_dir)
    if old is not None and old.inputs == inputs and not work.settings.refresh:
        age = describe_age(old.made, datetime.datetime.now(datetime.timezone.utc))
        context.say(
            f"Using conda's lock of {count(len(old.packages))} that was made {age}; `--refresh` makes a new one"
        )
        return old.packages
    if old is not None:
        context.say("Solving anew since:")
        for reason in inputs.differences(old.inputs) or (f"`{REFRESH_VARIABLE}` asks for it",):
            context.say(f"  {reason}")
    from buildpacks.conda.solve import SolveRequest, solve_environment  # loads rattler

    request = SolveRequest(
        channels=wanted.channels,
        specs=wanted.specs,
        target=target,
        network=work.network,
        cache_dir=work.cache_dir,
        needs_pip=wanted.needs_pip,
        refresh=work.settings.refresh,
        preferred=() if old is None or work.settings.refresh else old.packages,
    )
    context.say(f"Solving {_list(spec.text for spec in wanted.specs)} from {_list(wanted.channels)}")
    started = time.monotonic()
    packages = solve_environment(request, say=context.say)
    asked = {package_name(spec.text) for spec in wanted.specs}
    chosen = sorted(f"{package.name} {package.version}" for package in packages if package.name in asked)
    context.say(f"Solved in {time.monotonic() - started:.1f} s: {count(len(packages))}, among them {_list(chosen)}")
    write_lock(work.cache_dir, new_lock(packages, inputs))
    return packages


def _list(words: Iterable[str]) -> str:
    every = [mask_credentials(word) for word in words]
    hidden = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")


def count(packages: int) -> str:
    """Return `1 package`, `2 packages`."""
    return f"{packages} package{'' if packages == 1 else 's'}"
