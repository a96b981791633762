"""The tables of builder.toml that only pybuild has, below `[pybuild]`."""

from __future__ import annotations

import re
from pathlib import Path

from lifecycle.cnb.toml import Table
from pybuild.builder.poetry import known_poetry_versions
from pybuild.builder.requested import Base, ImageBase, PackageBase, User

# Debian's rules for names: https://www.debian.org/doc/debian-policy/ch-controlfields.html#source
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)
_SUITE = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_CPYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?", re.ASCII)
_RELEASE = re.compile(r"\d+(\.\d+)*", re.ASCII)
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}", re.ASCII)
_IMAGE_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:", "docker://")


def parse_base(own: Table, key: str, image: str, path: Path) -> Base:
    """The base below `[pybuild.<key>]`; without that table the image of pack's schema, from its registry.

    Raises `ConfigurationError`.
    """
    if key not in own:
        return ImageBase(location=f"docker://{image}")
    table = own.table(key)
    table.reject_unknown(frozenset({"suite", "packages", "image"}))
    if "image" in table:
        if "suite" in table or "packages" in table:
            raise table.error("cannot stand beside `suite` and `packages`", key="image")
        return ImageBase(location=_parse_location(table, path))
    suite = table.string("suite")
    if _SUITE.fullmatch(suite) is None:
        raise table.error(f"`{suite}` is not a Debian suite such as bookworm", key="suite")
    packages = table.strings("packages")
    for index, package in enumerate(packages):
        if _PACKAGE.fullmatch(package) is None:
            raise table.error(f"`{package}` is not the name of a Debian package", key=f"packages[{index}]")
    return PackageBase(suite=suite, packages=tuple(sorted(set(packages))))


def _parse_location(table: Table, path: Path) -> str:
    location = table.string("image")
    transport = next((prefix for prefix in _IMAGE_TRANSPORTS if location.startswith(prefix)), None)
    if transport is None:
        known = ", ".join(f"`{prefix}`" for prefix in _IMAGE_TRANSPORTS)
        raise table.error(f"must start with one of {known}, got `{location}`", key="image")
    rest = location.removeprefix(transport)
    if not rest:
        raise table.error(f"names nothing after `{transport}`", key="image")
    # Joining keeps an absolute path as it is.
    return location if transport == "docker://" else f"{transport}{path.parent / rest}"


def parse_user(table: Table) -> User:
    """`[pybuild.user]`. Raises `ConfigurationError`."""
    table.reject_unknown(frozenset({"name", "id", "group-id"}))
    name = table.optional_string("name") or User().name
    if _USER_NAME.fullmatch(name) is None or name == "root":
        raise table.error(f"`{name}` is not the name of an ordinary user", key="name")
    user_id = table.optional_integer("id") or User().id
    group_id = table.optional_integer("group-id") or User().group_id
    for key, number in (("id", user_id), ("group-id", group_id)):
        # Below 1000 are the numbers of the distribution's own users (Debian Policy 9.2.2).
        if not 1000 <= number <= 59999:
            raise table.error(f"must be between 1000 and 59999, got {number}", key=key)
    return User(name=name, id=user_id, group_id=group_id)


def parse_interpreters(table: Table) -> tuple[str, ...]:
    """`[pybuild.interpreters]`: versions of CPython, unique. Raises `ConfigurationError`."""
    table.reject_unknown(frozenset({"cpython"}))
    versions = table.strings("cpython")
    for index, version in enumerate(versions):
        if _CPYTHON.fullmatch(version) is None:
            raise table.error(f"`{version}` is not a version such as 3.10 or 3.10.13", key=f"cpython[{index}]")
    return tuple(dict.fromkeys(versions))


def parse_pip(table: Table) -> str:
    """Version of pip in `[pybuild.tools]`. Raises `ConfigurationError`."""
    table.reject_unknown(frozenset({"pip", "poetry"}))
    version = table.string("pip")
    if _RELEASE.fullmatch(version) is None:
        raise table.error(f"`{version}` is not a version such as 26.3", key="pip")
    return version


def parse_poetry(table: Table) -> str | None:
    """Version of Poetry in `[pybuild.tools]`, if it names one. Raises `ConfigurationError`."""
    version = table.optional_string("poetry")
    if version is not None and version not in known_poetry_versions():
        known = ", ".join(known_poetry_versions())
        raise table.error(f"`{version}` is not a version that pybuild knows all packages of: {known}", key="poetry")
    return version
