"""What the environment is made for: the platform and the virtual packages of the run image, nothing of the build machine.

https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-virtual.html
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from buildpacks.conda.failures import UnsupportedPlatform
from buildpacks.conda.settings import Settings
from lifecycle.cnb.target import Target

# Architecture of OCI -> platform and the name that `__archspec` has for its baseline.
_PLATFORMS = {
    "amd64": ("linux-64", "x86_64"),
    "arm64": ("linux-aarch64", "aarch64"),
    "ppc64le": ("linux-ppc64le", "ppc64le"),
    "s390x": ("linux-s390x", "s390x"),
}
# The glibc of distributions, by ID and VERSION_ID of os-release, most exact first: https://repology.org/project/glibc/versions
_GLIBC = {
    ("debian", "10"): "2.28",
    ("debian", "11"): "2.31",
    ("debian", "12"): "2.36",
    ("debian", "13"): "2.41",
    ("ubuntu", "18.04"): "2.27",
    ("ubuntu", "20.04"): "2.31",
    ("ubuntu", "22.04"): "2.35",
    ("ubuntu", "24.04"): "2.39",
    ("rhel", "8"): "2.28",
    ("rhel", "9"): "2.34",
    ("rhel", "10"): "2.39",
    ("amzn", "2"): "2.26",
    ("amzn", "2023"): "2.34",
}
# Rebuilds of Red Hat's distribution have its versions.
_REBUILDS = frozenset({"almalinux", "centos", "ol", "rocky"})
_WITHOUT_GLIBC = frozenset({"alpine", "chimera"})
# The kernel is that of the machine that runs the image, which is not known: pixi too assumes that of RHEL 8.
# https://pixi.sh/latest/reference/pixi_manifest/#system-requirements-table
_KERNEL = "4.18"


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaTarget:
    """A platform as conda knows it."""

    platform: str
    """`linux-64`."""
    virtual_packages: tuple[str, ...]
    """`__glibc=2.36=0`, in the order of their names."""


def find_target(target: Target, settings: Settings) -> CondaTarget:
    """Return what packages are chosen for. Raises `UnsupportedPlatform`."""
    if target.distro_name in _WITHOUT_GLIBC:
        raise UnsupportedPlatform(target=str(target), reason="its C library is not glibc")
    found = _PLATFORMS.get(target.arch or "amd64")
    if found is None or target.os not in (None, "linux"):
        raise UnsupportedPlatform(target=str(target), reason="no channel has packages for this platform")
    name, architecture = found
    glibc = settings.override_glibc or _find_glibc(target)
    packages = [
        f"__archspec=1={architecture}",
        f"__glibc={glibc}=0",
        f"__linux={_KERNEL}=0",
        "__unix=0=0",
    ]
    if settings.override_cuda is not None:
        packages.append(f"__cuda={settings.override_cuda}=0")
    return CondaTarget(platform=name, virtual_packages=tuple(sorted(packages)))


def _find_glibc(target: Target) -> str:
    distro = "rhel" if target.distro_name in _REBUILDS else target.distro_name or ""
    version = target.distro_version or ""
    known = _GLIBC.get((distro, version)) or _GLIBC.get((distro, version.partition(".")[0]))
    # The build image is made like the run image: better than refusing what is merely new.
    return known or platform.libc_ver()[1] or "2.28"
