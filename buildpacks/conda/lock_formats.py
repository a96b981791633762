"""The formats of locks that other tools write, read for one platform.

- conda-lock's unified format, version 1: https://conda.github.io/conda-lock/
- pixi's, versions 5 to 7, by rattler, which defines it: https://pixi.sh/latest/workspace/lockfile/
- explicit files: https://conda.org/learn/ceps/cep-0023
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from buildpacks.conda.client import public_url
from buildpacks.conda.failures import InvalidRepositoryLock, lock_failure
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.origin import Origin
from buildpacks.conda.specification import Problem
from lifecycle.cnb.kit import mask_credentials

_HASH = re.compile(r"(?:sha256:)?(?P<sha256>[0-9a-f]{64})|(?:md5:)?(?P<md5>[0-9a-f]{32})", re.IGNORECASE)
_ARCHIVE = re.compile(
    r"(?P<channel>.+)/(?P<subdir>[a-z0-9-]+)/(?P<name>[^/]+)-(?P<version>[^/-]+)-(?P<build>[^/-]+)\.(?:conda|tar\.bz2)"
)
_PIP_COMMENT = "# pip "
# In characters. Packages with the most dependencies have 10 000.
_MAXIMUM_ITEM = 256 * 1024
_REMAKE = "make the lock again"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedLine:
    """A conda package of a lock, and where it stands."""

    package: LockedPackage
    url: str
    """As the lock has it; may hold credentials."""
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedLock:
    """What a lock has for one platform."""

    packages: tuple[LockedLine, ...]
    pip: tuple[str, ...]
    """Lines of a requirement file."""
    locks_pip: bool
    """Whether the format has pip's packages too, so that what is not there is missing."""
    command: str
    """Makes the lock again; `{platform}` in it stands for the platform's name."""


def read_explicit(text: str, *, name: str, platform: str) -> ParsedLock:
    """Return what an `@EXPLICIT` file has. Raises `InvalidRepositoryLock`."""
    packages, pip, problems = [], [], []
    for number, line in enumerate((line.strip() for line in text.splitlines()), 1):
        if line.startswith("# platform:"):
            declared = line.partition(":")[2].strip()
            if declared not in (platform, "noarch"):
                problems.append(
                    lock_problem(name, number, f"is for `{declared}`, and the image for `{platform}`", _REMAKE)
                )
        elif line.startswith(_PIP_COMMENT):
            # How `conda-lock render` keeps pip's packages in a format that has no word for them.
            pip.append(line.removeprefix(_PIP_COMMENT).strip().replace("#sha256=", " --hash=sha256:"))
        elif line and not line.startswith(("#", "@")):
            url, _, digest = line.partition("#")
            package = _make_package(url, _parse_hash(digest))
            if package is None or (digest and _HASH.fullmatch(digest) is None):
                shown = mask_credentials(line)
                problems.append(
                    lock_problem(name, number, f"`{shown}` is no URL of a conda package with its hash", _REMAKE)
                )
            elif package.subdir not in (platform, "noarch"):
                message = f"`{package.name}` is for `{package.subdir}`, and the image for `{platform}`"
                problems.append(lock_problem(name, number, message, _REMAKE))
            else:
                packages.append(LockedLine(package=package, url=url, line=number))
    if problems:
        raise InvalidRepositoryLock(name=name, problems=tuple(problems))
    return ParsedLock(
        packages=tuple(packages),
        pip=tuple(pip),
        locks_pip=False,
        command=f"conda list --explicit --sha256 > {name}",
    )


def read_conda_lock(text: str, *, name: str, platform: str) -> ParsedLock:
    """Return what a `conda-lock.yml` has in its category `main`. Raises `InvalidRepositoryLock`."""
    version = re.search(r"^version:\s*(\S+)", text, re.MULTILINE)
    if version is None or version[1] != "1":
        raise lock_failure(
            name, f"has the version {version[1] if version else 'none'} of its format; 1 is known", _REMAKE
        )
    packages, pip, platforms = [], [], set()
    for number, item in _read_items(text, name):
        platforms.add(str(item.get("platform")))
        if item.get("platform") != platform or item.get("optional") is True or item.get("category", "main") != "main":
            continue
        url = str(item.get("url", ""))
        hashes = item.get("hash")
        digests = {str(key): str(value) for key, value in hashes.items()} if isinstance(hashes, dict) else {}
        if item.get("manager") == "pip":
            pip.append(_render_pip(str(item.get("name")), str(item.get("version")), url, digests.get("sha256")))
            continue
        package = _make_package(url, digests)
        if package is None:
            message = f"`{mask_credentials(url)}` is no URL of a conda package"
            raise InvalidRepositoryLock(name=name, problems=(lock_problem(name, number, message, _REMAKE),))
        packages.append(LockedLine(package=package, url=url, line=number))
    command = "conda-lock lock --platform {platform}"
    if platform not in platforms:
        raise _lacks_platform(name, platform, platforms, command.format(platform=platform))
    return ParsedLock(packages=tuple(packages), pip=tuple(pip), locks_pip=True, command=command)


def read_pixi_lock(text: str, path: Path, *, name: str, platform: str) -> ParsedLock:
    """Return what the environment `default` of a `pixi.lock` has. Raises `InvalidRepositoryLock`."""
    import rattler
    from rattler.exceptions import ParseCondaLockError

    from buildpacks.conda.records import lock_record

    command = "pixi lock"
    try:
        lock = rattler.LockFile.from_path(path)
    except ParseCondaLockError as err:
        raise lock_failure(name, f"cannot be read: {err}", f"make the lock again: `{command}`") from err
    # Without a default one, `default_environment` gives an object that fails at every use.
    environment = dict(lock.environments()).get("default")
    # The platforms must be the file's own objects: rattler panics on equal ones.
    chosen = next((known for known in lock.platforms() if str(known.subdir) == platform), None)
    locked = None if environment is None or chosen is None else environment.packages(chosen)
    if locked is None:
        platforms = {str(known.subdir) for known in lock.platforms()}
        raise _lacks_platform(name, platform, platforms, f"pixi workspace platform add {platform}")
    lines = _lines_of_urls(text)
    packages, pip, problems = [], [], []
    for entry in locked:
        if isinstance(entry, rattler.CondaLockedBinaryPackage):
            record = entry.repo_data_record()
            url = record.url
            package = lock_record(record, url=public_url(url), channel=public_url(url.rsplit("/", 2)[0]))
            packages.append(LockedLine(package=package, url=url, line=lines.get(url, 1)))
        elif isinstance(entry, rattler.PypiLockedPackage):
            pip.append(_render_pixi_pip(entry))
        else:
            message = f"`{entry.name}` is built from source by pixi, which cannot be done here"
            problems.append(lock_problem(name, lines.get(entry.location, 1), message, "use a package of a channel"))
    if problems:
        raise InvalidRepositoryLock(name=name, problems=tuple(problems))
    return ParsedLock(packages=tuple(packages), pip=tuple(pip), locks_pip=True, command=command)


def _read_items(text: str, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The items of `package:`, each with its line. Items are parsed one by one: locks have tens of thousands of lines, of
    which PyYAML reads few in a second.
    """
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if re.match(r"package:\s*$", line)), None)
    if start is None:
        raise lock_failure(name, "has no list `package`", _REMAKE)
    block: list[str] = []
    first = 0
    for number, line in enumerate([*lines[start + 1 :], "- "], start + 2):
        if re.match(r"\s*- name:|- $", line):
            if block:
                yield first, _parse_item(block, first, name)
            block, first = [], number
        elif re.match(r"[a-z]", line):
            # the next key of the document
            if block:
                yield first, _parse_item(block, first, name)
            return
        block.append(line)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases: conda-lock writes none, and a few of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias, which no lock has")
        return super().compose_node(parent, index)


def _parse_item(block: list[str], line: int, name: str) -> Mapping[str, object]:
    text = "".join(block)
    if len(text) > _MAXIMUM_ITEM:
        raise InvalidRepositoryLock(
            name=name, problems=(lock_problem(name, line, "is too long for a package", _REMAKE),)
        )
    try:
        items = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError) as err:
        raise InvalidRepositoryLock(
            name=name, problems=(lock_problem(name, line, f"cannot be read as YAML: {_first_line(err)}", _REMAKE),)
        ) from err
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise InvalidRepositoryLock(name=name, problems=(lock_problem(name, line, "is no package", _REMAKE),))
    return items[0]


def _make_package(url: str, hashes: Mapping[str, str]) -> LockedPackage | None:
    plain = public_url(url) if "://" in url else url
    found = _ARCHIVE.fullmatch(plain)
    if found is None or "://" not in url:
        return None
    return LockedPackage(
        name=found["name"],
        version=found["version"],
        build=found["build"],
        subdir=found["subdir"],
        url=plain,
        channel=found["channel"],
        sha256=hashes.get("sha256"),
        md5=hashes.get("md5"),
        size=None,
        record=None,
    )


def _parse_hash(digest: str) -> dict[str, str]:
    found = _HASH.fullmatch(digest)
    return {} if found is None else {key: value.lower() for key, value in found.groupdict().items() if value}


def _render_pip(name: str, version: str, url: str, sha256: str | None) -> str:
    requirement = f"{name} @ {url}" if "://" in url else f"{name}=={version}"
    return f"{requirement} --hash=sha256:{sha256}" if sha256 else requirement


def _render_pixi_pip(entry: object) -> str:
    import rattler

    assert isinstance(entry, rattler.PypiLockedPackage)  # noqa: S101 - the caller has looked
    location = entry.location.removeprefix("direct+")
    if "://" not in location:
        return location if location.startswith((".", "/")) else f"./{location}"
    # `PypiLockedPackage.hashes` fails where there are none: what it wraps is asked.
    inner = entry._package.hashes
    sha256 = None if inner is None or inner.sha256 is None else bytes(inner.sha256).hex()
    return _render_pip(entry.name, entry.version, location, sha256)


def _lines_of_urls(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, colon, value = line.strip().removeprefix("- ").partition(": ")
        if colon and key in ("conda", "url"):
            found[value.strip()] = number
    return found


def _lacks_platform(name: str, platform: str, platforms: set[str], command: str) -> InvalidRepositoryLock:
    known = ", ".join(f"`{known}`" for known in sorted(platforms)) or "none"
    return lock_failure(name, f"has nothing for `{platform}`; it is for {known}", f"make the lock again: `{command}`")


def lock_problem(name: str, line: int, message: str, change: str) -> Problem:
    """Return what is wrong with a line of the lock `name`."""
    return Problem(origin=Origin(file=name, line=line, column=1), kind="lock", message=message, change=change)


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or ["unknown"])[0]
