"""The tables of builder.toml that pack has as well (https://buildpacks.io/docs/reference/config/builder-config/)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lifecycle import __version__ as lifecycle_version
from lifecycle.cnb.api import ANY_EXEC_ENV, DEFAULT_EXEC_ENV
from lifecycle.cnb.identifier import BuildpackId, parse_version
from lifecycle.cnb.target import Target
from lifecycle.cnb.toml import Table
from lifecycle.oci.location import REGISTRY_PREFIX
from pybuild.builder.dockerfile import POLICY_VARIABLE
from pybuild.builder.labels import RunImageName
from pybuild.builder.requested import BuildVariable, RequestedGroups, RequestedMember, RequestedModule

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SUFFIXES = ("", "default", "override", "append", "prepend")
_STACK_KEYS = frozenset({"id", "build-image", "run-image", "run-image-mirrors"})


def parse_modules(document: Table, key: str) -> tuple[RequestedModule, ...]:
    """`[[buildpacks]]` or `[[extensions]]`. Raises `ConfigurationError`."""
    return tuple(_parse_module(table, is_extension=key == "extensions") for table in document.tables(key))


def _parse_module(table: Table, *, is_extension: bool) -> RequestedModule:
    table.reject_unknown(frozenset({"uri", "image", "id", "version"}))
    if "image" in table and "uri" in table:
        raise table.error("cannot stand beside `uri`, which says where it is as well", key="image")
    source = f"{REGISTRY_PREFIX}{table.string('image')}" if "image" in table else table.string("uri")
    return RequestedModule(
        source=source,
        place=table.location,
        id=table.parsed("id", BuildpackId.parse) if "id" in table else None,
        version=table.parsed("version", parse_version) if "version" in table else None,
        is_extension=is_extension,
    )


def parse_groups(document: Table, key: str) -> RequestedGroups:
    """`[[order]]` or `[[order-extensions]]`. Raises `ConfigurationError`."""
    groups = []
    for order in document.tables(key):
        order.reject_unknown(frozenset({"group"}))
        members = tuple(_parse_member(table) for table in order.tables("group"))
        if not members:
            raise order.error("must name at least one", key="group")
        groups.append(members)
    if not groups and key == "order":
        raise document.error("must hold at least one group", key=key)
    return tuple(groups)


def _parse_member(table: Table) -> RequestedMember:
    table.reject_unknown(frozenset({"id", "version", "optional", "exec-env"}))
    return RequestedMember(
        id=table.parsed("id", BuildpackId.parse),
        place=table.location,
        version=table.parsed("version", parse_version) if "version" in table else None,
        optional=table.boolean("optional", default=False),
        exec_env=table.strings("exec-env"),
    )


def parse_system(system: Table, when: str) -> tuple[RequestedMember, ...]:
    """`[system.pre]` or `[system.post]`. Raises `ConfigurationError`."""
    table = system.table(when)
    table.reject_unknown(frozenset({"buildpacks"}))
    return tuple(_parse_member(member) for member in table.tables("buildpacks"))


def parse_targets(document: Table) -> tuple[Target, ...]:
    """`[[targets]]`, one for each distribution that is listed. Raises `ConfigurationError`."""
    return tuple(target for table in document.tables("targets") for target in _parse_target(table))


def _parse_target(table: Table) -> tuple[Target, ...]:
    table.reject_unknown(frozenset({"os", "arch", "variant", "distros"}))
    if table.string("os") != "linux":
        raise table.error(f"must be `linux`, got `{table.string('os')}`", key="os")
    for distro in table.tables("distros"):
        distro.reject_unknown(frozenset({"name", "version"}))
    pairs: list[tuple[str | None, str | None]] = [
        (one.string("name"), one.optional_string("version") or None) for one in table.tables("distros")
    ]
    return tuple(
        Target(
            os="linux",
            arch=table.string("arch"),
            variant=table.optional_string("variant") or None,
            distro_name=name,
            distro_version=version,
        )
        for name, version in pairs or [(None, None)]
    )


def parse_build_image(document: Table) -> str:
    """`image` of `[build]`, or what `[stack]` has for it. Raises `ConfigurationError`."""
    build, stack = document.table("build"), _stack(document)
    image = build.optional_string("image") or stack.optional_string("build-image")
    if not image:
        raise build.error("is required", key="image")
    if (stack.optional_string("build-image") or image) != image:
        raise stack.error(f"must be `{image}` as in `[build]`, or be left out", key="build-image")
    return image


def parse_run_images(document: Table) -> tuple[RunImageName, ...]:
    """`[[run.images]]`, or what `[stack]` has for it. Raises `ConfigurationError`."""
    run, stack = document.table("run"), _stack(document)
    run.reject_unknown(frozenset({"images"}))
    images = []
    for table in run.tables("images"):
        table.reject_unknown(frozenset({"image", "mirrors"}))
        images.append(RunImageName(image=table.string("image"), mirrors=table.strings("mirrors")))
    old = stack.optional_string("run-image")
    if old and not images:
        return (RunImageName(image=old, mirrors=stack.strings("run-image-mirrors")),)
    if not images:
        raise run.error("must name at least one image", key="images")
    if old and old != images[0].image:
        raise stack.error(
            f"must be `{images[0].image}`, the first of `[[run.images]]`, or be left out", key="run-image"
        )
    return tuple(images)


def parse_stack_id(document: Table) -> str | None:
    """`id` of `[stack]`, if there is one. Raises `ConfigurationError`."""
    return _stack(document).optional_string("id") or None


def _stack(document: Table) -> Table:
    stack = document.table("stack")
    stack.reject_unknown(_STACK_KEYS)
    return stack


def check_lifecycle(document: Table) -> None:
    """Refuse a `[lifecycle]` that is not pybuild's own, which is the only one that it puts into builders.

    Raises `ConfigurationError`.
    """
    table = document.table("lifecycle")
    table.reject_unknown(frozenset({"uri", "version"}))
    own = f"pybuild puts its own lifecycle {lifecycle_version} into the builder; leave the line out"
    if "uri" in table:
        raise table.error(f"cannot be used: {own}", key="uri")
    if "version" in table and table.string("version") != lifecycle_version:
        raise table.error(f"cannot be `{table.string('version')}`: {own}", key="version")


def parse_variables(build: Table) -> tuple[BuildVariable, ...]:
    """`[[build.env]]`. Raises `ConfigurationError`."""
    tables = build.tables("env")
    variables = tuple(_parse_variable(table) for table in tables)
    for number, (table, variable) in enumerate(zip(tables, variables, strict=True)):
        if any((variable.name, variable.suffix) == (one.name, one.suffix) for one in variables[:number]):
            ending = f" with the suffix `{variable.suffix}`" if variable.suffix else ""
            raise table.error(f"`{variable.name}`{ending} stands there twice", key="name")
        _check_delimiter(table, variable, variables)
    return variables


def _parse_variable(table: Table) -> BuildVariable:
    table.reject_unknown(frozenset({"name", "value", "suffix", "delim", "exec-env"}))
    suffix = table.optional_string("suffix") or ""
    if suffix not in _SUFFIXES:
        raise table.error(f"must be one of {', '.join(_SUFFIXES[1:])}, got `{suffix}`", key="suffix")
    if _ENV_NAME.fullmatch(table.string("name")) is None:
        raise table.error(f"`{table.string('name')}` is not the name of a variable", key="name")
    if table.string("name") == POLICY_VARIABLE:
        raise table.error(f"`{POLICY_VARIABLE}` is said by `policy` in `[pybuild.dockerfile]`", key="name")
    value = table.optional_string("value")
    if value is None:
        raise table.error("is required", key="value")
    exec_env = table.strings("exec-env")
    if exec_env and not {ANY_EXEC_ENV, DEFAULT_EXEC_ENV} & set(exec_env):
        # platform.md has one directory of the operator's variables, whatever the execution environment.
        raise table.error(
            f"must have `{ANY_EXEC_ENV}` or `{DEFAULT_EXEC_ENV}`: the variables of a builder are for every build",
            key="exec-env",
        )
    return BuildVariable(
        name=table.string("name"), value=value, suffix=suffix, delimiter=table.optional_string("delim")
    )


def _check_delimiter(table: Table, variable: BuildVariable, variables: Sequence[BuildVariable]) -> None:
    """A variable has one delimiter, whichever of its lines says it."""
    said = {one.delimiter for one in variables if one.name == variable.name and one.delimiter is not None}
    if variable.suffix in ("append", "prepend") and not said:
        raise table.error(f"is required with the suffix `{variable.suffix}`", key="delim")
    if len(said) > 1:
        shown = ", ".join(f"`{one}`" for one in sorted(said))
        raise table.error(f"must be the same wherever `{variable.name}` stands, got {shown}", key="delim")
