"""Writes the locks that repositories carry, for packages of the test channel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.integration.conda_build import PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A package of a channel, as repodata describes it."""

    subdir: str
    file: str
    record: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Where conda-forge would have it."""
        return f"{PUBLIC}/{self.subdir}/{self.file}"


def find_packages(channel: Path, names: Sequence[str]) -> list[Locked]:
    """For each of `names` (`tiny-tool` or `tiny-tool=1.0`) the package with the highest version and build number."""
    available = []
    for subdir in ("linux-64", "noarch"):
        repodata = json.loads((channel / subdir / "repodata.json").read_text())
        for section in ("packages", "packages.conda"):
            available += [Locked(subdir=subdir, file=file, record=record) for file, record in repodata[section].items()]
    found = []
    for wanted in names:
        name, _, version = wanted.partition("=")
        fitting = [
            package
            for package in available
            if package.record["name"] == name
            and f"{package.record['version']}.".startswith(f"{version}." if version else "")
        ]
        found.append(max(fitting, key=lambda package: (_release(package.record["version"]), package.file)))
    return found


def _release(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def explicit_lock(packages: Sequence[Locked], *, hashes: str = "md5") -> str:
    """An `@EXPLICIT` file, with the hashes that `conda list --explicit --md5` or `--sha256` writes."""
    mark = {"md5": "", "sha256": "sha256:"}[hashes]
    lines = [f"{package.url}#{mark}{package.record[hashes]}" for package in packages]
    return "\n".join(["# platform: linux-64", "@EXPLICIT", *lines]) + "\n"


def conda_lock(packages: Sequence[Locked], *, pip: Mapping[str, tuple[str, str]] | None = None) -> str:
    """A `conda-lock.yml` of version 1. `pip`: for each name and version (`alpha==1.0`) a URL and its SHA-256."""
    entries: list[dict[str, Any]] = [
        {
            "name": package.record["name"],
            "version": package.record["version"],
            "manager": "conda",
            "platform": "linux-64",
            "dependencies": {},
            "url": package.url,
            "hash": {"md5": package.record["md5"], "sha256": package.record["sha256"]},
            "category": "main",
            "optional": False,
        }
        for package in packages
    ]
    for pinned, (url, sha256) in (pip or {}).items():
        name, _, version = pinned.partition("==")
        entries.append(
            {
                "name": name,
                "version": version,
                "manager": "pip",
                "platform": "linux-64",
                "dependencies": {},
                "url": url,
                "hash": {"sha256": sha256},
                "category": "main",
                "optional": False,
            }
        )
    metadata = {
        "content_hash": {"linux-64": "0" * 64},
        "channels": [{"url": "conda-forge", "used_env_vars": []}],
        "platforms": ["linux-64"],
        "sources": ["environment.yml"],
    }
    return yaml.safe_dump({"version": 1, "metadata": metadata, "package": entries}, sort_keys=False)


def pixi_lock(packages: Sequence[Locked]) -> str:
    """A `pixi.lock` of version 6."""
    listed = [{"conda": package.url} for package in packages]
    environment = {"channels": [{"url": f"{PUBLIC}/"}], "packages": {"linux-64": listed}}
    details = [
        {
            "conda": package.url,
            "sha256": package.record["sha256"],
            "md5": package.record["md5"],
            "depends": list(package.record["depends"]),
            "size": package.record["size"],
            "timestamp": package.record["timestamp"],
        }
        for package in packages
    ]
    return yaml.safe_dump(
        {"version": 6, "environments": {"default": environment}, "packages": details}, sort_keys=False
    )
