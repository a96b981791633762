"""buildpack.toml and extension.toml: what a buildpack or an image extension says of itself (buildpack.md, "buildpack.toml (TOML)";
image_extension.md, "extension.toml (TOML)").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.order import Order, member_key, parse_order
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import Table, read_table

__all__ = ["BuildpackId", "Descriptor", "Target", "read_descriptor", "read_extension_descriptor"]

# buildpack.md, "Targets": what a buildpack that names this stack supports
_BIONIC_STACK = "io.buildpacks.stacks.bionic"
_BIONIC_TARGET = Target(os="linux", arch="amd64", distro_name="ubuntu", distro_version="18.04")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A buildpack or an image extension. A composite one has an `order`, and nothing to run; `targets` empty: it runs anywhere."""

    directory: Path
    api: ApiVersion
    id: BuildpackId
    version: str
    name: str | None = None
    homepage: str | None = None
    description: str | None = None
    clear_env: bool = False
    sbom_formats: tuple[str, ...] = ()
    exec_env: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    order: Order | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    is_extension: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other, as that of `GroupMember` does."""
        return member_key(self, is_extension=self.is_extension)

    def supports(self, target: Target) -> bool:
        """Return whether the buildpack can be used for images of that target."""
        return not self.targets or any(declared.supports(target) for declared in self.targets)

    def __str__(self) -> str:
        return f"{self.id}@{self.version}"


def read_descriptor(directory: Path) -> Descriptor:
    """Return the buildpack in `directory`. Raises `ConfigurationError`. Keys that the specification does not know are allowed."""
    document = read_table(directory / "buildpack.toml")
    buildpack = document.table("buildpack")
    order = parse_order(document) if "order" in document else None
    if order is not None and ("stacks" in document or "targets" in document):
        raise document.error("cannot stand beside `stacks` or `targets`", key="order")
    described = _describe(document, buildpack, directory, programs=("build",))
    return replace(described, sbom_formats=buildpack.strings("sbom-formats"), order=order)


def read_extension_descriptor(directory: Path) -> Descriptor:
    """Return the image extension in `directory`. Raises `ConfigurationError`."""
    document = read_table(directory / "extension.toml")
    if "order" in document:
        raise document.error("is not allowed: an image extension has no other parts", key="order")
    described = _describe(document, document.table("extension"), directory, programs=("detect", "generate"))
    return replace(described, is_extension=True)


def _describe(document: Table, named: Table, directory: Path, *, programs: tuple[str, ...]) -> Descriptor:
    """What both kinds say, in the table `named`; one that names no target is for Linux if it has one of `programs`."""
    return Descriptor(
        directory=directory,
        api=document.parsed("api", ApiVersion.parse),
        id=named.parsed("id", BuildpackId.parse),
        version=named.parsed("version", parse_version),
        name=named.optional_string("name"),
        homepage=named.optional_string("homepage"),
        description=named.optional_string("description"),
        clear_env=named.boolean("clear-env", default=False),
        exec_env=_parse_exec_env(named),
        targets=_parse_targets(document, directory, programs),
        metadata=document.table("metadata").values,
    )


def _parse_exec_env(buildpack: Table) -> tuple[str, ...]:
    # The specification has an array of tables here, the reference implementation and pack an array of strings.
    value = buildpack.values.get("exec-env")
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return tuple(table.string("name") for table in buildpack.tables("exec-env"))
    return buildpack.strings("exec-env")


def _parse_targets(document: Table, directory: Path, programs: tuple[str, ...]) -> tuple[Target, ...]:
    declared = tuple(target for table in document.tables("targets") for target in _parse_target(table))
    if declared or "order" in document:
        return declared
    stacks = {stack.string("id") for stack in document.tables("stacks")}
    if "*" in stacks:
        return ()
    if _BIONIC_STACK in stacks:
        return (_BIONIC_TARGET,)
    has_program = any((directory / "bin" / program).exists() for program in programs)
    return (Target(os="linux"),) if has_program else ()


def _parse_target(table: Table) -> tuple[Target, ...]:
    """Return one target for each distribution that the table lists, or the one that takes any."""
    distros = table.tables("distros")
    pairs = [(distro.optional_string("name"), distro.optional_string("version")) for distro in distros]
    return tuple(
        Target(
            os=table.optional_string("os") or None,
            arch=table.optional_string("arch") or None,
            # The specification says `variant`, the reference implementation reads `arch-variant`.
            variant=table.optional_string("variant") or table.optional_string("arch-variant") or None,
            distro_name=name or None,
            distro_version=version or None,
        )
        for name, version in pairs or [(None, None)]
    )
