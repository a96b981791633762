"""Archives of packages: fetched from the channels, verified, and kept in the cache layer by their content.

Nothing that does not have the hash that was asked for gets its name, so what is there after a failure is as good as new.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from buildpacks.conda.client import Network, open_client
from buildpacks.conda.failures import BrokenArchive, UnreachableChannel
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.unreachable import explain_unreachable
from buildpacks.installer.errors import DiskFull

if TYPE_CHECKING:
    import rattler

# Below the cache layer
ARCHIVES = "archives"
_AT_ONCE = 8
_PROGRESS_S = 3.0
# A server that sends nothing for so long is given up, however large the file.
_STALL_S = 180.0
# Before a download is begun again; doubled each time.
_PAUSE_S = 0.5
_CHUNK = 1024 * 1024


def fetch_archives(
    packages: Sequence[LockedPackage],
    *,
    network: Network,
    cache_dir: Path,
    shared_dir: Path | None,
    say: Callable[[str], None],
) -> Mapping[LockedPackage, Path]:
    """Return where the archive of each package is: `<cache_dir>/archives/<sha256>.conda`, or in `shared_dir`; same order.

    `shared_dir` is the machine's store (`PYBUILD_ARCHIVES`), which is only read; what is found anywhere is verified again.
    Packages without a hash of SHA-256 are fetched, and verified by MD5 where they have that.

    Raises:
        BrokenArchive: what came is not the package.
        UnreachableChannel: it could not be had.
        DiskFull: it could not be written.
    """
    directory = cache_dir / ARCHIVES
    directory.mkdir(parents=True, exist_ok=True)
    found: dict[LockedPackage, Path] = {}
    for package in packages:
        path = _find(package, directory, shared_dir)
        if path is not None:
            found[package] = path
    missing = [package for package in packages if package not in found]
    if missing:
        total = sum(package.size or 0 for package in missing)
        size = f", {_megabytes(total)} MB" if total else ""
        have = f"; {len(found)} are there" if found else ""
        say(f"Downloading {len(missing)} packages{size}{have}")
        started = time.monotonic()
        found |= asyncio.run(_Download(network, directory, missing, say).run())
        say(f"Downloaded {len(missing)} packages in {time.monotonic() - started:.1f} s")
    return {package: found[package] for package in packages}


def _find(package: LockedPackage, directory: Path, shared_dir: Path | None) -> Path | None:
    if package.sha256 is None:
        return None
    name = f"{package.sha256}{package.suffix}"
    for place in (directory, shared_dir):
        if place is None:
            continue
        path = place / name
        try:
            if not path.is_symlink() and path.is_file() and _hash_file(path) == package.sha256:
                return path
            if place == directory:
                path.unlink(missing_ok=True)
        except OSError:
            continue
    return None


@dataclass(slots=True)
class _Writer:
    """Counts and hashes what rattler writes. Its errors reach us as text only, so the first is kept."""

    file: BinaryIO
    limit: int | None
    size: int = 0
    changed: float = field(default_factory=time.monotonic)
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    md5: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    error: OSError | None = None

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.changed = time.monotonic()
        if self.limit is not None and self.size > self.limit:
            raise OSError("longer than its channel says")
        self.sha256.update(data)
        self.md5.update(data)
        try:
            return self.file.write(data)
        except OSError as err:
            self.error = err
            raise


class _Interrupted(Exception):
    """The connection ended before the file did."""

    def __init__(self, problem: BrokenArchive) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Download:
    """One run of downloads, eight at a time."""

    def __init__(
        self, network: Network, directory: Path, packages: Sequence[LockedPackage], say: Callable[[str], None]
    ) -> None:
        self._network = network
        self._directory = directory
        self._packages = packages
        self._say = say
        self._client: rattler.Client = open_client(network)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._writers: list[_Writer] = []
        self._done = 0

    async def run(self) -> dict[LockedPackage, Path]:
        """Return the archives. The first error ends all."""
        tasks = {asyncio.ensure_future(self._fetch(package)): package for package in self._packages}
        waiting = set(tasks)
        try:
            while waiting:
                finished, waiting = await asyncio.wait(
                    waiting, timeout=_PROGRESS_S, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in finished:
                    task.result()
                if waiting:
                    self._show_progress()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return {package: task.result() for task, package in tasks.items()}

    def _show_progress(self) -> None:
        total = sum(package.size or 0 for package in self._packages)
        have = sum(writer.size for writer in self._writers)
        of_total = f" of {_megabytes(total)}" if total else ""
        self._say(f"Downloading {self._done} of {len(self._packages)} packages, {_megabytes(have)}{of_total} MB")

    async def _fetch(self, package: LockedPackage) -> Path:
        async with self._slots:
            for repetition in range(self._network.retries + 1):
                try:
                    path = await self._fetch_once(package)
                except _Interrupted as err:
                    if repetition == self._network.retries:
                        raise err.problem from err
                    await asyncio.sleep(_PAUSE_S * 2**repetition)
                except OSError as err:
                    if err.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise DiskFull(path=str(self._directory)) from err
                    raise
                else:
                    self._done += 1
                    return path
        raise AssertionError("the last repetition returns or raises")

    async def _fetch_once(self, package: LockedPackage) -> Path:
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=self._directory)
        partial = Path(name)
        writer = _Writer(file=os.fdopen(handle, "wb"), limit=package.size)
        self._writers.append(writer)
        try:
            with writer.file:
                await self._transfer(package, writer)
            path = self._directory / f"{_verify(package, writer)}{package.suffix}"
            partial.chmod(0o644)
            partial.replace(path)
        except BaseException:
            self._writers.remove(writer)
            raise
        finally:
            partial.unlink(missing_ok=True)
        return path

    async def _transfer(self, package: LockedPackage, writer: _Writer) -> None:
        local = self._network.local_path(package.url)
        if local is not None:
            _copy(package, local, writer)
            return
        from rattler.package_streaming import download_to_writer

        transfer = asyncio.ensure_future(download_to_writer(self._client, package.url, writer))
        while not transfer.done():
            await asyncio.wait({transfer}, timeout=_STALL_S)
            if not transfer.done() and time.monotonic() - writer.changed >= _STALL_S:
                transfer.cancel()
                raise UnreachableChannel(
                    url=package.url,
                    problem=f"sent nothing for {_STALL_S:.0f} seconds",
                    change="build again; if it stays so, check the network and its proxy settings",
                )
        try:
            transfer.result()
        except asyncio.CancelledError:
            raise
        except Exception as err:  # rattler raises a bare RuntimeError for whatever goes wrong
            if writer.error is not None:
                raise writer.error from err
            if not writer.size:
                raise explain_unreachable(str(err), url=package.url) from err
            # rattler repeats requests, but not answers that end early.
            try:
                _verify(package, writer)
            except BrokenArchive as problem:
                if package.size is not None and writer.size > package.size:
                    raise
                raise _Interrupted(problem) from err


def _copy(package: LockedPackage, source: Path, writer: _Writer) -> None:
    try:
        with source.open("rb") as file:
            if writer.limit is not None and source.stat().st_size > writer.limit:
                raise BrokenArchive(
                    package=str(package),
                    url=package.url,
                    expected=f"{writer.limit} bytes",
                    found=f"{source.stat().st_size} bytes",
                )
            shutil.copyfileobj(file, writer, _CHUNK)
    except FileNotFoundError as err:
        raise UnreachableChannel(
            url=package.url,
            problem="is not there",
            change="the channel's index refers to a file that it does not have",
            details=f"{source}: {err.strerror}",
        ) from err


def _verify(package: LockedPackage, writer: _Writer) -> str:
    """Return the SHA-256 of what was written. Raises `BrokenArchive`."""
    sha256 = writer.sha256.hexdigest()

    def broken(expected: str, found: str) -> BrokenArchive:
        return BrokenArchive(package=str(package), url=package.url, expected=expected, found=found)

    if package.size is not None and writer.size != package.size:
        more = " or more" if writer.size > package.size else ""
        raise broken(f"{package.size} bytes", f"{writer.size} bytes{more}")
    if package.sha256 is not None and sha256 != package.sha256:
        raise broken(f"sha256:{package.sha256}", f"sha256:{sha256}")
    if package.sha256 is None and package.md5 is not None and writer.md5.hexdigest() != package.md5:
        raise broken(f"md5:{package.md5}", f"md5:{writer.md5.hexdigest()}")
    return sha256


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}" if size < 10e6 else f"{size / 1e6:.0f}"
