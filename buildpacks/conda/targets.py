"""What the environment is made for: the platform and the virtual packages of the run image, nothing of the build machine.

https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-virtual.html
"""

from __future__ import annotations

from dataclasses import dataclass

from buildpacks.conda.failures import UnsupportedPlatform
from buildpacks.conda.settings import Settings
from buildpacks.installer.glibc import find_glibc, has_glibc
from lifecycle.cnb.target import Target

# Architecture of OCI -> platform and the name that `__archspec` has for its baseline.
_PLATFORMS = {
    "amd64": ("linux-64", "x86_64"),
    "arm64": ("linux-aarch64", "aarch64"),
    "ppc64le": ("linux-ppc64le", "ppc64le"),
    "s390x": ("linux-s390x", "s390x"),
}
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
    if not has_glibc(target):
        raise UnsupportedPlatform(target=str(target), reason="its C library is not glibc")
    found = _PLATFORMS.get(target.arch or "amd64")
    if found is None or target.os not in (None, "linux"):
        raise UnsupportedPlatform(target=str(target), reason="no channel has packages for this platform")
    name, architecture = found
    glibc = settings.override_glibc or find_glibc(target)
    packages = [
        f"__archspec=1={architecture}",
        f"__glibc={glibc}=0",
        f"__linux={_KERNEL}=0",
        "__unix=0=0",
    ]
    if settings.override_cuda is not None:
        packages.append(f"__cuda={settings.override_cuda}=0")
    return CondaTarget(platform=name, virtual_packages=tuple(sorted(packages)))
