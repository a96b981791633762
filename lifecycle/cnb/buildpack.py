"""buildpack.toml: what a buildpack says of itself (buildpack.md, "buildpack.toml (TOML)")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.api import ApiVersion
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.order import Order, parse_order
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import Table, read_table

__all__ = ["BuildpackId", "Descriptor", "Target", "read_descriptor"]

# buildpack.md, "Targets": what a buildpack that names this stack supports
_BIONIC_STACK = "io.buildpacks.stacks.bionic"
_BIONIC_TARGET = Target(os="linux", arch="amd64", distro_name="ubuntu", distro_version="18.04")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A buildpack. A composite one has an `order`, and nothing to run; `targets` empty: it runs anywhere."""

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
    return Descriptor(
        directory=directory,
        api=document.parsed("api", ApiVersion.parse),
        id=buildpack.parsed("id", BuildpackId.parse),
        version=buildpack.parsed("version", parse_version),
        name=buildpack.optional_string("name"),
        homepage=buildpack.optional_string("homepage"),
        description=buildpack.optional_string("description"),
        clear_env=buildpack.boolean("clear-env", default=False),
        sbom_formats=buildpack.strings("sbom-formats"),
        exec_env=_parse_exec_env(buildpack),
        targets=_parse_targets(document, directory),
        order=order,
        metadata=document.table("metadata").values,
    )


def _parse_exec_env(buildpack: Table) -> tuple[str, ...]:
    # The specification has an array of tables here, the reference implementation and pack an array of strings.
    value = buildpack.values.get("exec-env")
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return tuple(table.string("name") for table in buildpack.tables("exec-env"))
    return buildpack.strings("exec-env")


def _parse_targets(document: Table, directory: Path) -> tuple[Target, ...]:
    declared = tuple(target for table in document.tables("targets") for target in _parse_target(table))
    if declared or "order" in document:
        return declared
    stacks = {stack.string("id") for stack in document.tables("stacks")}
    if "*" in stacks:
        return ()
    if _BIONIC_STACK in stacks:
        return (_BIONIC_TARGET,)
    return (Target(os="linux"),) if (directory / "bin" / "build").exists() else ()


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
