"""Installs locked packages into a new prefix with rattler, from archives on the disk.

rattler joins the paths of a package to the prefix as they are, so they are read and judged before. Extracted packages are kept
in the cache layer, each file verified against the hash that its package gives before it is used again, and hard-linked into the
prefix; where scripts of packages will run, files are copied, because a script may edit what it finds.
"""

from __future__ import annotations

import asyncio
import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import rattler
from rattler.config import Config
from rattler.exceptions import InstallerError
from rattler.package_cache import PackageCache, ValidationMode
from rattler.package_streaming import PackageArchive

from buildpacks.conda.archives import ARCHIVES
from buildpacks.conda.link_scripts import is_link_script
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.prefix import read_record
from buildpacks.conda.records import make_records
from buildpacks.installer.errors import DiskFull
from lifecycle.cnb.kit import BuildpackError
from lifecycle.cnb.layer import remove_tree

# Below the cache layer
_EXTRACTED = "packages"
# A file there, of a time that no archive of layers gives files: with another one, the packages have lost their times as well.
_CLOCK, _CLOCK_TIME = ".times", 1_000_000_000
# What an installer writes about an environment, and no package may.
_RECORDS = re.compile(r"conda-meta/([^/]*\.json|history|state)")
_NAMED = re.compile(r"failed to (?:link|fetch) (\S+)")


@dataclass(eq=False, kw_only=True)
class UnusablePackage(BuildpackError):
    """A package is not made as packages are, or would write where it must not."""

    package: str
    """Name, version and build."""
    url: str
    problem: str

    @property
    def summary(self) -> str:
        """The package and what is wrong with it."""
        return f"{self.package} cannot be installed: {self.problem}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where it came from."""
        return (("from", self.url),)

    @property
    def hint(self) -> str | None:
        """Who can put it right."""
        return (
            "the package is at fault, not the repository: ask for another build of it, and tell who keeps the channel"
        )


@dataclass(eq=False, kw_only=True)
class PrefixNotMade(BuildpackError):
    """rattler gave up for a reason that belongs to no package."""

    reason: str

    @property
    def summary(self) -> str:
        """What rattler said."""
        return f"the environment could not be installed: {self.reason}"


def install_packages(archives: Mapping[LockedPackage, Path], *, prefix: Path, cache_dir: Path, platform: str) -> None:
    """Make `prefix` out of the archives. Raises `UnusablePackage`, `PrefixNotMade`, `DiskFull`."""
    remove_tree(prefix)
    prefix.mkdir(parents=True)
    has_scripts = asyncio.run(_check_archives(archives))
    records = make_records(archives)
    for record, archive in zip(records, archives.values(), strict=True):
        record.url = archive.absolute().as_uri()
    extracted = cache_dir / _EXTRACTED
    _forget_timeless(extracted)
    try:
        asyncio.run(_install(records, prefix, extracted, platform, has_scripts=has_scripts))
    except InstallerError as err:
        raise _explain(str(err), archives) from err
    for package in archives:
        for path, kind in _installed_paths(prefix, package):
            if kind == "softlink":
                _check_link(prefix, path, package)


def _forget_timeless(extracted: Path) -> None:
    """Remove packages that have come through an archive of a layer: their bytecode names times of sources, which are gone."""
    clock = extracted / _CLOCK
    try:
        is_whole = int(clock.stat().st_mtime) == _CLOCK_TIME
    except FileNotFoundError:
        is_whole = False
    if not is_whole:
        remove_tree(extracted)
        extracted.mkdir(parents=True)
        clock.touch()
        os.utime(clock, (_CLOCK_TIME, _CLOCK_TIME))


def drop_unused(cache_dir: Path, archives: Mapping[LockedPackage, Path]) -> None:
    """Remove what the cache layer keeps of packages that are none of `archives`."""
    used = {package.file_name.removesuffix(package.suffix) for package in archives}
    for path in (cache_dir / _EXTRACTED).glob("[!.]*"):
        if path.name.removesuffix(".lock") not in used:
            remove_tree(path)
    files = {path.name for path in archives.values()}
    for path in (cache_dir / ARCHIVES).glob("*"):
        if path.name not in files:
            remove_tree(path)


async def _check_archives(archives: Mapping[LockedPackage, Path]) -> bool:
    """Refuse packages that would write where they must not; return whether one brings a script."""
    has_scripts = False
    for package, archive in archives.items():
        paths = await _read_paths(package, archive)
        _check_paths(package, paths)
        has_scripts = has_scripts or any(is_link_script(path, package) for path in paths)
    return has_scripts


async def _install(
    records: list[rattler.RepoDataRecord], prefix: Path, extracted: Path, platform: str, *, has_scripts: bool
) -> None:
    await rattler.install(
        records,
        prefix,
        installed_packages=[],
        platform=rattler.Subdir(platform),
        execute_link_scripts=False,
        show_progress=False,
        config=Config.from_toml("allow-hard-links = false") if has_scripts else None,
        package_cache=PackageCache.new_layered([extracted], validation_mode=ValidationMode.full()),
    )


async def _read_paths(package: LockedPackage, archive: Path) -> tuple[str, ...]:
    """The files of a package as its metadata lists them: `paths.json`, in packages of before 2017 `files`."""
    try:
        opened = await PackageArchive.from_path(archive)
        found = await opened.read_files(["info/paths.json", "info/files"])
        listed, plain = found["info/paths.json"], found["info/files"]
        if listed is not None:
            return tuple(str(entry["_path"]) for entry in json.loads(listed)["paths"])
        return tuple((plain or b"").decode().split("\n"))
    # rattler raises its own kinds, OSError and ValueError for what may be wrong with an archive
    except Exception as err:
        raise UnusablePackage(package=str(package), url=package.url, problem=_first_line(str(err))) from err


def _check_paths(package: LockedPackage, paths: Sequence[str]) -> None:
    for path in filter(None, paths):
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            problem = f"its file `{path}` would lie outside the environment"
        elif _RECORDS.fullmatch(path):
            problem = f"it brings `{path}`, which only an installer writes"
        else:
            continue
        raise UnusablePackage(package=str(package), url=package.url, problem=problem)


def _installed_paths(prefix: Path, package: LockedPackage) -> list[tuple[str, str]]:
    data = read_record(prefix, package).get("paths_data")
    paths = data.get("paths", []) if isinstance(data, dict) else []
    return [(str(entry["_path"]), str(entry.get("path_type"))) for entry in paths]


def _check_link(prefix: Path, path: str, package: LockedPackage) -> None:
    """A link that leads out of the environment is another file in every image, and a way out for what writes through it."""
    if not (prefix / path).is_symlink():
        # rattler links packages side by side: another one came first.
        problem = f"its link `{path}` is a directory or a file of another package"
        raise UnusablePackage(package=str(package), url=package.url, problem=problem)
    target = (prefix / path).readlink().as_posix()
    led = posixpath.normpath(posixpath.join(prefix.as_posix(), posixpath.dirname(path), target))
    if led != prefix.as_posix() and not led.startswith(f"{prefix.as_posix()}/"):
        problem = f"its link `{path}` leads out of the environment, to `{target}`"
        raise UnusablePackage(package=str(package), url=package.url, problem=problem)


def _explain(text: str, archives: Mapping[LockedPackage, Path]) -> BuildpackError:
    if "(os error 28)" in text or "(os error 122)" in text:  # ENOSPC, EDQUOT
        return DiskFull(path=None)
    causes = [line.removeprefix("Caused by: ").strip() for line in text.splitlines() if line.strip()]
    named = _NAMED.search(text)
    for package in archives:
        if named is not None and package.file_name == named.group(1):
            return UnusablePackage(package=str(package), url=package.url, problem=causes[-1])
    return PrefixNotMade(reason=": ".join(causes))


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it cannot be read"])[0]
