"""The solve: which packages of the channels satisfy the dependencies, by rattler, with strict channel priority.

Writes below the cache layer only. Imports rattler: nothing that must be fast imports this module.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import rattler
from rattler.exceptions import GatewayError, InvalidMatchSpecError, SolverError

from buildpacks.conda.channels import forbidden_url
from buildpacks.conda.client import Network, open_client
from buildpacks.conda.conflict import explain_conflict, shorten
from buildpacks.conda.failures import ForbiddenPackage, SolveTimeout, UnsolvableEnvironment
from buildpacks.conda.lock import LockedPackage
from buildpacks.conda.records import lock_record, parse_records
from buildpacks.conda.rules import split_channel
from buildpacks.conda.specification import Entry, Problem
from buildpacks.conda.targets import CondaTarget
from buildpacks.conda.unreachable import explain_unreachable
from lifecycle.cnb.kit import mask_credentials

# Fetching the indexes of the channels counts too; a server that stalls must not hold the build for ever.
_FETCH_LIMIT_S = 1200.0
# How long the lines that disagree are looked for. rattler's own explanation is there already.
_EXPLAIN_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRequest:
    """What is asked of the channels."""

    channels: tuple[str, ...]
    """As `check_channels` returns them, without `nodefaults`."""
    specs: tuple[Entry, ...]
    target: CondaTarget
    network: Network
    cache_dir: Path
    """The cache layer; repodata is kept in `repodata` there."""
    needs_pip: bool = False
    """The file has a `pip:` section: without pip in the channels there is no environment."""
    preferred: tuple[LockedPackage, ...] = ()
    """Chosen again where the dependencies allow: the packages of the last lock."""
    refresh: bool = False
    """Fetch all indexes anew, whatever is kept."""
    time_limit_s: float = 600.0


def solve_environment(request: SolveRequest, *, say: Callable[[str], None]) -> tuple[LockedPackage, ...]:
    """Return the packages of the environment, each after those that it depends on.

    pip is among them where Python is, so that `pip install` works in the image, unless no channel has it.

    Raises:
        UnsolvableEnvironment: the lines cannot be satisfied; says which of them.
        SolveTimeout: they could not be satisfied in time.
        UnreachableChannel: a channel could not be read.
        ForbiddenPackage: a chosen package comes from elsewhere than from the channels.
    """
    solver = _Solver(request)
    solver.check_mirrors()
    records = solver.solve()
    names = {record.name.normalized for record in records}
    if "python" in names and "pip" not in names:
        say("No channel has a pip that fits: `pip install` will not work in the image")
    return solver.lock(records)


class _Solver:
    """One request with the channels' indexes, which are read once for all attempts."""

    def __init__(self, request: SolveRequest) -> None:
        self._request = request
        self._network = request.network
        self._urls = tuple(dict.fromkeys(request.network.channel_url(channel) for channel in request.channels))
        # A directory that an operator offers as a channel is read where it is.
        self._places = {self._place(url): url for url in self._urls}
        self._channels = [rattler.Channel(f"{place}/") for place in self._places]
        self._specs = {entry: self._parse(entry) for entry in request.specs}
        self._virtual = [_parse_virtual_package(text) for text in request.target.virtual_packages]
        self._gateway = self._open_gateway(refresh=request.refresh)

    def check_mirrors(self) -> None:
        """Raises `ForbiddenPackage` where a mirror of a channel is one that no image is built with."""
        found = []
        for url in self._urls:
            for target in self._network.mirrors_of(url):
                reason = forbidden_url(target, alias=self._network.alias)
                if reason is not None:
                    found.append((url, mask_credentials(target), reason))
        if found:
            raise ForbiddenPackage(packages=tuple(found), change="correct `BP_CONDA_MIRRORS`")

    def solve(self) -> list[rattler.RepoDataRecord]:
        """Return the chosen records. Raises what `solve_environment` does, but for `ForbiddenPackage`."""
        specs = list(self._specs.values())
        adds_pip = self._request.needs_pip and not any(_name(spec) == "pip" for spec in specs)
        if adds_pip:
            specs.append(rattler.MatchSpec("pip"))
        preferred = list(parse_records(self._request.preferred).values())
        try:
            try:
                records = self._attempt(specs, preferred)
            except GatewayError as err:
                if "304 Not Modified" not in str(err):
                    raise
                # A server that says "not modified" without saying of what, as Python's own does.
                self._gateway = self._open_gateway(refresh=True)
                records = self._attempt(specs, preferred)
        except GatewayError as err:
            raise explain_unreachable(str(err)) from err
        except asyncio.TimeoutError as err:
            raise explain_unreachable("timed out", url=self._urls[0]) from err
        except SolverError as err:
            if "cancelled" in str(err):
                raise SolveTimeout(limit_s=self._request.time_limit_s) from err
            text = self._with_public_urls(str(err))
            raise (adds_pip and self._explain_pip(text)) or self._explain(text) from err
        names = {record.name.normalized for record in records}
        if "python" in names and "pip" not in names:
            # Not by `add_pip_as_python_dependency`, which makes Python impossible where a channel has no pip.
            try:
                return self._attempt([*specs, rattler.MatchSpec("pip")], records)
            except SolverError:
                return records
            except GatewayError as err:
                raise explain_unreachable(str(err)) from err
        return records

    def lock(self, records: Sequence[rattler.RepoDataRecord]) -> tuple[LockedPackage, ...]:
        """Return the records with public URLs, in the order of their dependencies. Raises `ForbiddenPackage`."""
        packages, forbidden = [], []
        order = {
            str(record): place for place, record in enumerate(rattler.PackageRecord.sort_topologically(list(records)))
        }
        for record in sorted(records, key=lambda record: order[str(record)]):
            channel = self._places.get((record.channel or "").rstrip("/"), record.channel or "")
            url = next(
                (
                    f"{public}{record.url[len(place) :]}"
                    for place, public in self._places.items()
                    if record.url.startswith(f"{place}/")
                ),
                record.url,
            )
            reason = self._judge(url, channel)
            if reason is not None:
                forbidden.append((f"{record.name.normalized} {record.version}", mask_credentials(url), reason))
            packages.append(lock_record(record, url=url, channel=channel))
        if forbidden:
            raise ForbiddenPackage(packages=tuple(forbidden))
        return tuple(packages)

    def _judge(self, url: str, channel: str) -> str | None:
        owner = forbidden_url(url, alias=self._network.alias) or forbidden_url(channel, alias=self._network.alias)
        if owner is not None:
            return owner
        # repodata may name another place for its files: https://conda.org/learn/ceps/cep-0015
        below = any(url.startswith(f"{allowed}/") for allowed in self._urls)
        return None if below and channel in self._urls else "none of the channels of the file"

    def _attempt(
        self,
        specs: Sequence[rattler.MatchSpec],
        preferred: Sequence[rattler.RepoDataRecord] = (),
        *,
        limit_s: float = 0.0,
    ) -> list[rattler.RepoDataRecord]:
        # rattler reads only those records of a package that fit its line. Without its bare name the package would be taken
        # from a channel of lower priority whenever the first one lacks the version, which strict priority forbids.
        names = [rattler.MatchSpec(name) for name in dict.fromkeys(map(_name, specs)) if name]
        limit = datetime.timedelta(seconds=limit_s or self._request.time_limit_s)
        return asyncio.run(
            asyncio.wait_for(
                rattler.solve(
                    self._channels,
                    [*specs, *names],
                    gateway=self._gateway,
                    platforms=self._platforms(),
                    locked_packages=preferred,
                    virtual_packages=self._virtual,
                    channel_priority=rattler.ChannelPriority.Strict,
                    timeout=limit,
                    # The list of channels is the user's: repodata adds none.
                    channel_relations="disabled",
                ),
                _FETCH_LIMIT_S,
            )
        )

    def _explain(self, text: str) -> UnsolvableEnvironment:
        deadline = time.monotonic() + _EXPLAIN_LIMIT_S

        def fails(entries: Sequence[Entry]) -> str | None:
            try:
                self._attempt([self._specs[entry] for entry in entries], limit_s=max(0.1, deadline - time.monotonic()))
            except SolverError as err:
                return None if "cancelled" in str(err) else self._with_public_urls(str(err))
            return None

        return explain_conflict(self._request.specs, self._specs, text, fails=fails, index=self, deadline=deadline)

    def _explain_pip(self, text: str) -> UnsolvableEnvironment | None:
        """The error where only the pip that nobody listed is too much."""
        try:
            self._attempt(list(self._specs.values()))
        except SolverError:
            return None
        problem = Problem(
            origin=None,
            kind="pip",
            message="the `pip:` section needs pip, and the channels have none that fits the other dependencies",
            change="add a channel that has pip, such as conda-forge, or change the version of python",
        )
        file = self._request.specs[0].origin.file if self._request.specs else "environment.yml"
        return UnsolvableEnvironment(file=file, problems=(problem,), conflict=(), explanation=shorten(text))

    def _with_public_urls(self, text: str) -> str:
        for place, url in self._places.items():
            text = text.replace(place, url)
        return mask_credentials(text)

    def names(self) -> frozenset[str]:
        """Return the names of all packages in the channels."""
        return frozenset(
            name.normalized for name in asyncio.run(self._gateway.names(self._channels, self._platforms()))
        )

    def versions(self, name: str) -> tuple[rattler.RepoDataRecord, ...]:
        """Return the packages of that name: those of the first channel first, the oldest of a channel first."""
        found = asyncio.run(self._gateway.query(self._channels, self._platforms(), [name], recursive=False))
        order = {channel.base_url: place for place, channel in enumerate(self._channels)}
        records = [record for group in found for record in group]
        return tuple(sorted(records, key=lambda record: (order.get(record.channel or "", 0), record.version)))

    def _platforms(self) -> list[rattler.Subdir]:
        return [rattler.Subdir(self._request.target.platform), rattler.Subdir("noarch")]

    def _place(self, url: str) -> str:
        path = self._network.local_path(url)
        return url if path is None else path.absolute().as_uri()

    def _parse(self, entry: Entry) -> rattler.MatchSpec:
        channelled = split_channel(entry.text)
        text = entry.text
        if channelled is not None:
            # rattler would look for the name under the alias of its own.
            url = self._network.channel_url(channelled.channel)
            text = f"{self._place(url)}::{channelled.package}"
        try:
            # Strictly parsed, `numpy=1.26.*=py310*` would be an error.
            return rattler.MatchSpec(text, strict=False)
        except InvalidMatchSpecError as err:
            problem = Problem(
                origin=entry.origin,
                kind="dependency",
                message=f"`{mask_credentials(entry.text)}` is no package specification: {err}",
                change="write it as `name`, `name=1.2` or `name>=1.2,<2`",
            )
            raise UnsolvableEnvironment(
                file=entry.origin.file, problems=(problem,), conflict=(), explanation=""
            ) from err

    def _open_gateway(self, *, refresh: bool) -> rattler.Gateway:
        directory = self._request.cache_dir / "repodata"
        directory.mkdir(parents=True, exist_ok=True)
        # Indexes of shards count as fresh for a tenth of the time since their last change, unless the server says otherwise: a
        # channel of a group would lack its newest package for days. The shards themselves are kept: their names are hashes.
        for index in directory.glob("*.shards-cache-v1"):
            index.unlink()
        config = rattler.SourceConfig(cache_action="no-cache" if refresh else "cache-or-fetch")
        return rattler.Gateway(cache_dir=directory, default_config=config, client=open_client(self._network))


def _name(spec: rattler.MatchSpec) -> str:
    return spec.name.normalized


def _parse_virtual_package(text: str) -> rattler.GenericVirtualPackage:
    name, version, build = text.split("=")
    return rattler.GenericVirtualPackage(
        rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
    )
