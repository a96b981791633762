"""What an image runs on: operating system, architecture and distribution (buildpack.md, "Targets")."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

# `uname -m` -> the names of Go and OCI
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Of an image: what it is. Of a buildpack: what it supports, `None` standing for anything."""

    os: str | None = None
    arch: str | None = None
    variant: str | None = None
    distro_name: str | None = None
    distro_version: str | None = None

    def supports(self, actual: Target) -> bool:
        """Return whether something made for this target can be used on `actual`.

        Unknown values of either side fit, but a declared distribution needs an actual one.
        """
        pairs = ((self.os, actual.os), (self.arch, actual.arch), (self.variant, actual.variant))
        if any(declared and found and declared != found for declared, found in pairs):
            return False
        distro_fits = self.distro_name in {None, actual.distro_name}
        return distro_fits and self.distro_version in {None, actual.distro_version}

    @property
    def is_foreign(self) -> bool:
        """Whether this machine cannot run what is made for it."""
        return self.arch not in (None, host_architecture())

    @property
    def platform(self) -> str:
        """`linux/arm64`, as images name it."""
        return "/".join(part for part in (self.os or "any", self.arch or "any", self.variant) if part)

    def __str__(self) -> str:
        distro = " ".join(part for part in (self.distro_name, self.distro_version) if part)
        return f"{self.platform} ({distro})" if distro else self.platform


def complete_target(target: Target, *, os_release: Path) -> Target:
    """Return `target` with what it lacks filled from this machine (platform.md, "Detection": the build image answers)."""
    if not target.os or not target.arch:
        target = replace(target, os=target.os or "linux", arch=target.arch or host_architecture())
    if target.distro_name is None:
        found = _read_os_release(os_release)
        target = replace(target, distro_name=found.get("ID"), distro_version=found.get("VERSION_ID"))
    return target


def host_architecture() -> str:
    """Return this machine's architecture as OCI names it."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def _read_os_release(path: Path) -> Mapping[str, str]:
    try:
        return parse_os_release(path.read_text("utf-8", "replace"))
    except OSError:
        return {}


def parse_os_release(text: str) -> Mapping[str, str]:
    """Return the values of an os-release file that are not empty."""
    # https://www.freedesktop.org/software/systemd/man/os-release.html; the values we want have no escapes in them
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if value.strip().strip("\"'")}
