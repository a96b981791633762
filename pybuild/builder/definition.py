"""builder.toml: what a builder is made of.

pack's schema (https://buildpacks.io/docs/reference/config/builder-config/) plus the table `[pybuild]`. Unknown keys are errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import find_line, read_table
from pybuild.builder.dockerfile import DockerfileSettings, parse_dockerfile_settings
from pybuild.builder.extending import KEY as EXTENDS
from pybuild.builder.extending import extend_default
from pybuild.builder.labels import RunImageName
from pybuild.builder.own_tables import parse_base, parse_interpreters, parse_pip, parse_poetry, parse_user
from pybuild.builder.pack_tables import (
    check_lifecycle,
    parse_build_image,
    parse_groups,
    parse_modules,
    parse_run_images,
    parse_stack_id,
    parse_system,
    parse_targets,
    parse_variables,
)
from pybuild.builder.profiles import parse_profiles, parse_required
from pybuild.builder.requested import Base, BuildVariable, RequestedGroups, RequestedMember, RequestedModule, User
from pybuild.check.profile import BUILT_IN_PROFILES, Profile

_KNOWN_KEYS = frozenset(
    {"description", "buildpacks", "extensions", "order", "order-extensions", "lifecycle"}
    | {"build", "run", "stack", "targets", "system", "pybuild"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A builder, described."""

    path: Path
    description: str = ""
    buildpacks: tuple[RequestedModule, ...]
    extensions: tuple[RequestedModule, ...] = ()
    order: RequestedGroups
    extension_order: RequestedGroups = ()
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
    stack_id: str | None = None
    """What platforms before Platform API 0.12 tell images by that fit each other."""
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

    @property
    def directory(self) -> Path:
        """Where relative paths of the file start from."""
        return _directory_of(self.path)

    def error(self, place: str, message: str, advice: str | None = None) -> ConfigurationError:
        """The error that says `message` of what stands at `place` of the file."""
        line = find_line(self.path.read_text(encoding="utf-8-sig"), place)
        return ConfigurationError(self.path, f"`{place}` {message}", line=line, advice=advice)


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
    document = extend_default(read_table(path), default, _directory_of(default))
    document.reject_unknown(_KNOWN_KEYS)
    check_lifecycle(document)
    own = document.table("pybuild")
    own.reject_unknown(
        frozenset(
            {EXTENDS, "build", "run", "user", "interpreters", "tools", "dockerfile", "profiles", "require"}
            | {"trust-project"}
        )
    )
    build = document.table("build")
    build.reject_unknown(frozenset({"image", "env"}))
    build_image, run_images = parse_build_image(document), parse_run_images(document)
    profiles = parse_profiles(own.table("profiles"))
    system = document.table("system")
    system.reject_unknown(frozenset({"pre", "post"}))
    return Definition(
        path=path,
        description=document.optional_string("description") or "",
        buildpacks=parse_modules(document, "buildpacks"),
        extensions=parse_modules(document, "extensions"),
        order=parse_groups(document, "order"),
        extension_order=parse_groups(document, "order-extensions"),
        system_before=parse_system(system, "pre"),
        system_after=parse_system(system, "post"),
        targets=parse_targets(document),
        build_base=parse_base(own, "build", build_image, path),
        build_image_name=build_image,
        build_variables=parse_variables(build),
        run_base=parse_base(own, "run", run_images[0].image, path),
        run_images=run_images,
        stack_id=parse_stack_id(document),
        user=parse_user(own.table("user")),
        cpython_versions=parse_interpreters(own.table("interpreters")),
        pip_version=parse_pip(own.table("tools")),
        poetry_version=parse_poetry(own.table("tools")),
        dockerfile=parse_dockerfile_settings(own.table("dockerfile"), path),
        profiles=profiles,
        required_profile=parse_required(own, profiles),
        trusts_projects=own.boolean("trust-project", default=False),
    )


def _directory_of(path: Path) -> Path:
    package = Path(__file__).resolve().parent.parent
    # Installed, the default builder.toml lies inside the package and the buildpacks beside that.
    return package.parent if path.parent == package else path.parent
