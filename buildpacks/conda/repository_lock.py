"""Locks that a repository carries: `conda-lock.yml`, `pixi.lock` and `@EXPLICIT` files, installed as they are, without a solve.

`location` says which lock counts, the formats are read by `lock_formats`; here it is decided whether it may be installed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from buildpacks.conda.failures import InvalidRepositoryLock, lock_failure
from buildpacks.conda.location import find_usual_locks
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.lock_formats import (
    LockedLine,
    ParsedLock,
    lock_problem,
    read_conda_lock,
    read_explicit,
    read_pixi_lock,
)
from buildpacks.conda.rules import Rules, judge_channel, split_channel
from buildpacks.conda.settings import LOCK_VARIABLE, Settings
from buildpacks.conda.specification import Entry, EnvironmentFile, Problem
from buildpacks.conda.targets import CondaTarget
from lifecycle.cnb.kit import mask_credentials
from lifecycle.cnb.toml import read_regular_file

_MAXIMUM_BYTES = 64 * 1024 * 1024
_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryLock:
    """What a lock of the repository asks for on one platform."""

    name: str
    """The file, relative to the app directory."""
    packages: tuple[LockedPackage, ...]
    channels: tuple[str, ...]
    """The URLs that its packages are below. They may hold credentials: mask them."""
    pip: tuple[str, ...]
    """Lines of a requirement file with hashes: all that pip has to install, nothing to resolve."""
    notices: tuple[str, ...] = ()


def read_repository_lock(
    path: Path, *, app_dir: Path, target: CondaTarget, environment: EnvironmentFile | None, settings: Settings
) -> RepositoryLock:
    """Return what the lock says for `target`; with an environment file, checked to have all that the file asks for.

    Raises:
        InvalidRepositoryLock: with all problems at once: channels that no image is built with, a missing platform,
            dependencies that it lacks, anything in it that cannot be read.
    """
    name = path.relative_to(app_dir).as_posix()
    text = _read_text(path, name)
    parsed = _parse(text, path, name, target.platform)
    problems = [
        *_judge_urls(parsed.packages, name, Rules.of(settings.channel_alias, settings.mirrors)),
        *_find_duplicates(parsed.packages, name),
    ]
    if environment is not None:
        problems += _find_missing(parsed, environment, name)
    if problems:
        raise InvalidRepositoryLock(name=name, problems=tuple(problems), advice=_advise(parsed, target, problems))
    return RepositoryLock(
        name=name,
        packages=tuple(line.package for line in parsed.packages),
        channels=tuple(dict.fromkeys(line.url.rsplit("/", 2)[0] for line in parsed.packages)),
        pip=tuple(parsed.pip),
        notices=tuple(_notices(parsed, path, app_dir, settings, target)),
    )


def _read_text(path: Path, name: str) -> str:
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise lock_failure(name, f"has more than {_MAXIMUM_BYTES // 1024 // 1024} MB", "make the lock again")
        return read_regular_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise lock_failure(name, "is not UTF-8", "make the lock again") from err


def _parse(text: str, path: Path, name: str, platform: str) -> ParsedLock:
    if re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE):
        return read_explicit(text, name=name, platform=platform)
    if path.name == "pixi.lock" or re.search(r"^environments:", text, re.MULTILINE):
        return read_pixi_lock(text, path, name=name, platform=platform)
    if re.search(r"^package:", text, re.MULTILINE):
        return read_conda_lock(text, name=name, platform=platform)
    raise lock_failure(
        name,
        "is no lock of conda packages that is known here",
        "`conda-lock.yml`, `pixi.lock`, and files with a line `@EXPLICIT` (`conda list --explicit --sha256`) are",
    )


def _judge_urls(lines: Sequence[LockedLine], name: str, rules: Rules) -> list[Problem]:
    found, seen = [], set()
    for line in lines:
        channel = line.url.rsplit("/", 2)[0]
        judgement = judge_channel(channel, rules)
        # A lock that is made from a wrong channel has hundreds of lines of it.
        if judgement is None or channel in seen:
            continue
        seen.add(channel)
        count = sum(other.url.rsplit("/", 2)[0] == channel for other in lines)
        others = f", as do {count - 1} more packages" if count > 1 else ""
        message = f"`{line.package.name}` comes from a channel that is not used{others}: {judgement.message}"
        change = judgement.change or "make the lock anew with conda-forge and `nodefaults` as channels"
        found.append(lock_problem(name, line.line, message, change))
    return found


def _find_duplicates(lines: Sequence[LockedLine], name: str) -> list[Problem]:
    first: dict[str, LockedLine] = {}
    found = []
    for line in lines:
        other = first.setdefault(line.package.name, line)
        if other is not line:
            message = (
                f"`{line.package.name}` is locked a second time, as {line.package.version}; line {other.line} has it"
            )
            found.append(lock_problem(name, line.line, message, "make the lock anew"))
    return found


def _find_missing(parsed: ParsedLock, environment: EnvironmentFile, name: str) -> list[Problem]:
    locked = {line.package.name: line for line in parsed.packages}
    found = [
        problem for entry in environment.dependencies if (problem := _judge_dependency(entry, locked, name)) is not None
    ]
    if not parsed.locks_pip:
        return found
    names = {_pip_name(line) for line in parsed.pip} | {canonicalize_name(locked_name) for locked_name in locked}
    for entry in environment.pip:
        wanted = _pip_name(entry.text)
        if wanted is not None and wanted not in names:
            found.append(_lacks(entry, f"`{name}` has no `{wanted}`"))
    return found


def _judge_dependency(entry: Entry, locked: dict[str, LockedLine], name: str) -> Problem | None:
    import rattler
    from rattler.exceptions import InvalidMatchSpecError

    from buildpacks.conda.records import make_plain_record

    channelled = split_channel(entry.text)
    text = entry.text if channelled is None else channelled.package
    if "://" in text:
        # the URL of a package, which has no name before it is fetched
        return None
    try:
        spec = rattler.MatchSpec(text, strict=False)
    except InvalidMatchSpecError as err:
        return _lacks(entry, f"no package specification: {err}")
    wanted = spec.name.normalized
    if wanted.startswith("__"):
        return None
    line = locked.get(wanted)
    if line is None:
        return _lacks(entry, f"`{name}` has no `{wanted}`")
    if spec.matches(make_plain_record(line.package)):
        return None
    return _lacks(entry, f"`{name}:{line.line}` has `{line.package}`")


def _lacks(entry: Entry, message: str) -> Problem:
    return Problem(
        origin=entry.origin,
        kind="lock",
        message=f"`{mask_credentials(entry.text)}` is not locked: {message}",
        change="",
    )


def _pip_name(line: str) -> str | None:
    """Canonical; `None` where a line is an option, a path or a URL without a name."""
    if line.startswith("-"):
        return None
    try:
        return canonicalize_name(Requirement(line.partition(" --")[0].strip()).name)
    except InvalidRequirement:
        found = _REQUIREMENT_NAME.match(line)
        return canonicalize_name(found[0]) if found and " @ " in line else None


def _advise(parsed: ParsedLock, target: CondaTarget, problems: Sequence[Problem]) -> str | None:
    if len(problems) == 1 and problems[0].change:
        return None
    command = parsed.command.format(platform=target.platform)
    return f"make the lock again: `{command}`; or set `{LOCK_VARIABLE}=none`, which solves the environment file instead"


def _notices(parsed: ParsedLock, path: Path, app_dir: Path, settings: Settings, target: CondaTarget) -> list[str]:
    found = []
    without = [
        line.package.name for line in parsed.packages if line.package.sha256 is None and line.package.md5 is None
    ]
    if without:
        found.append(
            f"{len(without)} packages of `{path.name}` have no hash, so what is downloaded is not verified: {', '.join(without[:3])} …"
        )
    if settings.lock_file is None:
        others = [f"`{other.name}`" for other in find_usual_locks(app_dir, target.platform) if other != path]
        if others:
            found.append(
                f"there are several locks: `{path.name}` is used, not {', '.join(others)}; `{LOCK_VARIABLE}` names another"
            )
    return found
