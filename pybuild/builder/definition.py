"""builder.toml: what a builder is made of.

pack's schema (https://buildpacks.io/docs/reference/config/builder-config/) plus the table `[pybuild]`. Unknown keys are errors.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import Table, read_table
from pybuild.builder.dockerfile import POLICY_VARIABLE, DockerfileSettings, parse_dockerfile_settings
from pybuild.builder.extending import KEY as EXTENDS
from pybuild.builder.extending import extend_default
from pybuild.builder.labels import RunImageName
from pybuild.builder.poetry import known_poetry_versions
from pybuild.builder.profiles import parse_profiles, parse_required
from pybuild.check.profile import BUILT_IN_PROFILES, Profile

# Debian's rules for names: https://www.debian.org/doc/debian-policy/ch-controlfields.html#source
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)
_SUITE = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_CPYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?", re.ASCII)
_RELEASE = re.compile(r"\d+(\.\d+)*", re.ASCII)
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}", re.ASCII)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_IMAGE_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:", "docker://")
_SUFFIXES = ("", "default", "override", "append", "prepend")

_KNOWN_KEYS = frozenset(
    {"description", "buildpacks", "extensions", "order", "order-extensions", "lifecycle"}
    | {"build", "run", "stack", "targets", "system", "pybuild"}
)
# Keys of pack's schema that this pybuild cannot honour: better an error than a builder that lacks what was asked for.
_UNSUPPORTED = {
    "extensions": "is not supported yet: image extensions come with a later version",
    "order-extensions": "is not supported yet: image extensions come with a later version",
    "lifecycle": "cannot be used: pybuild puts its own lifecycle into the builder",
    "stack": "is the old form of `[build]` and `[[run.images]]`: write those",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageBase:
    """A base that is assembled from Debian packages."""

    suite: str
    packages: tuple[str, ...]
    """Sorted, unique; what they depend on comes with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBase:
    """A base that is an image: `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE` or `docker://REFERENCE`, paths absolute."""

    location: str


Base = PackageBase | ImageBase


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedBuildpack:
    """A buildpack's directory; id and version, where given, are what it must turn out to be."""

    directory: Path
    id: BuildpackId | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedMember:
    """A member of an order; without a version it is the only one that the builder has."""

    id: BuildpackId
    version: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildVariable:
    """A variable that every buildpack sees: a file of /cnb/build-config/env."""

    name: str
    value: str
    suffix: str = ""
    delimiter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who builds and images run as."""

    name: str = "pybuild"
    id: int = 1000
    group_id: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A builder, described."""

    path: Path
    description: str = ""
    buildpacks: tuple[RequestedBuildpack, ...]
    order: tuple[tuple[RequestedMember, ...], ...]
    system_before: tuple[RequestedMember, ...] = ()
    system_after: tuple[RequestedMember, ...] = ()
    targets: tuple[Target, ...] = ()
    """Empty: the machine's own."""
    build_base: Base
    build_image_name: str
    build_variables: tuple[BuildVariable, ...] = ()
    run_base: Base
    run_images: tuple[RunImageName, ...]
    """At least one, the default first."""
    user: User = field(default_factory=User)
    cpython_versions: tuple[str, ...] = ()
    """`3.10` stands for the newest 3.10 there is; unique, the default first."""
    pip_version: str
    poetry_version: str | None = None
    """None: a builder without Poetry."""
    dockerfile: DockerfileSettings = field(default_factory=DockerfileSettings)
    profiles: Mapping[str, Profile] = field(default_factory=lambda: BUILT_IN_PROFILES)
    """What images can be checked against, by name; pybuild's own are among them."""
    required_profile: Profile | None = None
    """What every image of this builder must meet."""
    trusts_projects: bool = False
    """Whether the project.toml of a repository may bring buildpacks of its own."""

    @property
    def image_names(self) -> tuple[str, ...]:
        """What the images are called that it is made of, mirrors among them."""
        names = ((one.image, *one.mirrors) for one in self.run_images)
        return (self.build_image_name, *itertools.chain.from_iterable(names))


def default_definition_path() -> Path:
    """Path of the builder.toml that comes with pybuild: at the top of a checkout, inside the package where it is installed."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "builder.toml"
    return checkout if checkout.is_file() else package / "builder.toml"


def read_definition(path: Path) -> Definition:
    """The builder that `path` describes.

    Raises:
        lifecycle.cnb.errors.ConfigurationError: it does not say what it must; names the place.
    """
    path = path.absolute()
    default = default_definition_path()
    document = extend_default(read_table(path), default, _base_directory(default))
    document.reject_unknown(_KNOWN_KEYS)
    for key, message in _UNSUPPORTED.items():
        if key in document:
            raise document.error(message, key=key)
    own = document.table("pybuild")
    own.reject_unknown(
        frozenset(
            {EXTENDS, "build", "run", "user", "interpreters", "tools", "dockerfile", "profiles", "require"}
            | {"trust-project"}
        )
    )
    build = document.table("build")
    build.reject_unknown(frozenset({"image", "env"}))
    run_images = _parse_run_images(document)
    profiles = parse_profiles(own.table("profiles"))
    system = document.table("system")
    system.reject_unknown(frozenset({"pre", "post"}))
    return Definition(
        path=path,
        description=document.optional_string("description") or "",
        buildpacks=tuple(_parse_buildpack(table, path) for table in document.tables("buildpacks")),
        order=_parse_order(document),
        system_before=_parse_system(system.table("pre")),
        system_after=_parse_system(system.table("post")),
        targets=tuple(_parse_target(table) for table in document.tables("targets")),
        build_base=_parse_base(own, "build", build.string("image"), path),
        build_image_name=build.string("image"),
        build_variables=tuple(_parse_variable(table) for table in build.tables("env")),
        run_base=_parse_base(own, "run", run_images[0].image, path),
        run_images=run_images,
        user=_parse_user(own.table("user")),
        cpython_versions=_parse_interpreters(own.table("interpreters")),
        pip_version=_parse_pip(own.table("tools")),
        poetry_version=_parse_poetry(own.table("tools")),
        dockerfile=parse_dockerfile_settings(own.table("dockerfile"), path),
        profiles=profiles,
        required_profile=parse_required(own, profiles),
        trusts_projects=own.boolean("trust-project", default=False),
    )


def _parse_buildpack(table: Table, path: Path) -> RequestedBuildpack:
    table.reject_unknown(frozenset({"uri", "image", "id", "version"}))
    if "image" in table:
        raise table.error("is not supported yet: name a directory with `uri`", key="image")
    uri = urlsplit(table.string("uri"))
    if uri.scheme not in ("", "file"):
        raise table.error(f"must be a directory, got the URL `{table.string('uri')}`", key="uri")
    directory = _base_directory(path) / unquote(uri.path if uri.scheme else table.string("uri"))
    if not (directory / "buildpack.toml").is_file():
        raise table.error(
            f"`{table.string('uri')}` is not a buildpack: `{directory}/buildpack.toml` is missing", key="uri"
        )
    return RequestedBuildpack(
        directory=directory.resolve(),
        id=table.parsed("id", BuildpackId.parse) if "id" in table else None,
        version=table.parsed("version", parse_version) if "version" in table else None,
    )


def _base_directory(path: Path) -> Path:
    """Directory that relative paths of the file start from."""
    package = Path(__file__).resolve().parent.parent
    # Installed, the default builder.toml lies inside the package and the buildpacks beside that.
    return package.parent if path.parent == package else path.parent


def _parse_order(document: Table) -> tuple[tuple[RequestedMember, ...], ...]:
    groups = []
    for order in document.tables("order"):
        order.reject_unknown(frozenset({"group"}))
        members = tuple(_parse_member(table) for table in order.tables("group"))
        if not members:
            raise order.error("must name at least one buildpack", key="group")
        groups.append(members)
    if not groups:
        raise document.error("must hold at least one group", key="order")
    return tuple(groups)


def _parse_member(table: Table) -> RequestedMember:
    table.reject_unknown(frozenset({"id", "version", "optional"}))
    return RequestedMember(
        id=table.parsed("id", BuildpackId.parse),
        version=table.parsed("version", parse_version) if "version" in table else None,
        optional=table.boolean("optional", default=False),
    )


def _parse_system(table: Table) -> tuple[RequestedMember, ...]:
    table.reject_unknown(frozenset({"buildpacks"}))
    return tuple(_parse_member(member) for member in table.tables("buildpacks"))


def _parse_target(table: Table) -> Target:
    table.reject_unknown(frozenset({"os", "arch", "variant", "distros"}))
    if table.string("os") != "linux":
        raise table.error("must be `linux`", key="os")
    return Target(os="linux", arch=table.string("arch"), variant=table.optional_string("variant"))


def _parse_run_images(document: Table) -> tuple[RunImageName, ...]:
    run = document.table("run")
    run.reject_unknown(frozenset({"images"}))
    images = []
    for table in run.tables("images"):
        table.reject_unknown(frozenset({"image", "mirrors"}))
        images.append(RunImageName(image=table.string("image"), mirrors=table.strings("mirrors")))
    if not images:
        raise run.error("must name at least one image", key="images")
    return tuple(images)


def _parse_variable(table: Table) -> BuildVariable:
    table.reject_unknown(frozenset({"name", "value", "suffix", "delim"}))
    suffix = table.optional_string("suffix") or ""
    if suffix not in _SUFFIXES:
        raise table.error(f"must be one of {', '.join(_SUFFIXES[1:])}, got `{suffix}`", key="suffix")
    delimiter = table.optional_string("delim")
    if suffix in ("append", "prepend") and delimiter is None:
        raise table.error(f"is required with the suffix `{suffix}`", key="delim")
    if _ENV_NAME.fullmatch(table.string("name")) is None:
        raise table.error(f"`{table.string('name')}` is not the name of a variable", key="name")
    if table.string("name") == POLICY_VARIABLE:
        raise table.error(f"`{POLICY_VARIABLE}` is said by `policy` in `[pybuild.dockerfile]`", key="name")
    value = table.optional_string("value")
    if value is None:
        raise table.error("is required", key="value")
    return BuildVariable(name=table.string("name"), value=value, suffix=suffix, delimiter=delimiter)


def _parse_base(own: Table, key: str, image: str, path: Path) -> Base:
    """The base below `[pybuild.<key>]`; without that table the image of pack's schema, from its registry."""
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


def _parse_user(table: Table) -> User:
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


def _parse_interpreters(table: Table) -> tuple[str, ...]:
    table.reject_unknown(frozenset({"cpython"}))
    versions = table.strings("cpython")
    for index, version in enumerate(versions):
        if _CPYTHON.fullmatch(version) is None:
            raise table.error(f"`{version}` is not a version such as 3.10 or 3.10.13", key=f"cpython[{index}]")
    return tuple(dict.fromkeys(versions))


def _parse_pip(table: Table) -> str:
    table.reject_unknown(frozenset({"pip", "poetry"}))
    version = table.string("pip")
    if _RELEASE.fullmatch(version) is None:
        raise table.error(f"`{version}` is not a version such as 26.3", key="pip")
    return version


def _parse_poetry(table: Table) -> str | None:
    version = table.optional_string("poetry")
    if version is not None and version not in known_poetry_versions():
        known = ", ".join(known_poetry_versions())
        raise table.error(f"`{version}` is not a version that pybuild knows all packages of: {known}", key="poetry")
    return version
