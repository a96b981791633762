"""Locked packages as the records that rattler installs, and back."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import rattler

from buildpacks.conda.lock import LockedPackage

# When a channel was indexed says nothing of the package, and differs between copies of a channel.
_DROPPED = frozenset({"indexed_timestamp", "fn", "url", "channel"})


def make_records(archives: Mapping[LockedPackage, Path]) -> list[rattler.RepoDataRecord]:
    """Return a record for each package, in the same order, with the public URL. Reads archives that no channel described."""
    described = parse_records([package for package in archives if package.record is not None])
    return [
        described[package] if package in described else _read_archive(package, path)
        for package, path in archives.items()
    ]


def parse_records(packages: Sequence[LockedPackage]) -> dict[LockedPackage, rattler.RepoDataRecord]:
    """Return the records of packages that have one."""
    # rattler reads records from files only, one file for all of a channel's directory.
    groups: dict[tuple[str, str], dict[str, LockedPackage]] = {}
    for package in packages:
        if package.record is not None:
            groups.setdefault((package.channel, package.subdir), {})[package.file_name] = package
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "repodata.json"
        for (channel, subdir), group in groups.items():
            entries = {name: json.loads(package.record or "") for name, package in group.items()}
            classic = {name: entry for name, entry in entries.items() if not name.endswith(".conda")}
            newer = {name: entry for name, entry in entries.items() if name.endswith(".conda")}
            document = {"info": {"subdir": subdir}, "packages": classic, "packages.conda": newer}
            file.write_text(json.dumps(document))
            for record in rattler.RepoData.from_path(file).into_repo_data(rattler.Channel(f"{channel}/")):
                package = group[record.file_name]
                record.url = package.url
                found[package] = record
    return found


def make_plain_record(package: LockedPackage) -> rattler.PackageRecord:
    """Return a record of what the file name says, to compare specifications with."""
    number = package.build.rpartition("_")[2]
    return rattler.PackageRecord(
        name=package.name,
        version=package.version,
        build=rattler.BuildString(package.build),
        build_number=int(number) if number.isdecimal() else 0,
        subdir=package.subdir,
    )


def lock_record(record: rattler.RepoDataRecord, *, url: str, channel: str) -> LockedPackage:
    """Return a record as a package of a lock, with its public `url` and `channel`."""
    values = json.loads(record.to_json())
    return LockedPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        url=url,
        channel=channel,
        sha256=record.sha256.hex() if record.sha256 else None,
        md5=record.md5.hex() if record.md5 else None,
        size=record.size,
        record=json.dumps({key: value for key, value in sorted(values.items()) if key not in _DROPPED}),
    )


def _read_archive(package: LockedPackage, path: Path) -> rattler.RepoDataRecord:
    record = asyncio.run(rattler.RepoDataRecord.from_package_archive(path))
    record.url = package.url
    record.channel = f"{package.channel}/"
    record.file_name = package.file_name
    return record
