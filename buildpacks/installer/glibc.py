"""The C library of a run image, which decides which compiled packages it can load."""

from __future__ import annotations

from lifecycle.cnb.detecting import Target

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


def has_glibc(target: Target) -> bool:
    """Return whether the distribution of `target` has glibc, as nearly all have."""
    return target.distro_name not in _WITHOUT_GLIBC


def find_glibc(target: Target) -> str:
    """Return the version of glibc that the distribution of `target` has: `2.36`."""
    distro = "rhel" if target.distro_name in _REBUILDS else target.distro_name or ""
    version = target.distro_version or ""
    known = _GLIBC.get((distro, version)) or _GLIBC.get((distro, version.partition(".")[0]))
    if known is None:
        import platform  # which few targets need

        # The build image is made like the run image: better than refusing what is merely new.
        known = platform.libc_ver()[1]
    return known or "2.28"
