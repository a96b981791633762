"""What is in a builder, for a person and as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from lifecycle.cnb.api import BUILDPACK_APIS, PLATFORM_APIS
from lifecycle.cnb.buildpack import Descriptor
from lifecycle.cnb.order import GroupMember
from pybuild.builder.installed import MACHINE
from pybuild.builder.value import Builder, KeptBase

_ANY = ("*",)
_API_TITLES = (("Platform API", "platform-apis"), ("Buildpack API", "buildpack-apis"))


class BaseDescription(TypedDict):
    """A base. `size`: bytes on disk of the build base, bytes compressed of the run base."""

    name: str
    origin: str
    size: int
    packages: list[dict[str, str]]


class DockerfileDescription(TypedDict):
    """What Dockerfiles may do. `allowed_bases` are patterns; `bases` are locations by name."""

    policy: str
    allowed_bases: list[str]
    bases: dict[str, str]


class Description(TypedDict):
    """A builder."""

    key: str
    description: str
    target: str
    user: str
    build: BaseDescription
    run: BaseDescription
    run_image_digest: str
    lifecycle: dict[str, list[str]]
    buildpacks: list[dict[str, str]]
    extensions: list[dict[str, str]]
    order: list[list[dict[str, object]]]
    extension_order: list[list[dict[str, object]]]
    interpreters: list[dict[str, str]]
    left_out_interpreters: dict[str, str]
    tools: dict[str, str]
    dockerfile: DockerfileDescription
    directory: str
    size: int


def describe_builder(builder: Builder) -> Description:
    """Everything that is in `builder`, JSON-able."""
    run_size = sum(layer.descriptor.size for layer in builder.run_image.layers)
    return Description(
        key=builder.key,
        description=builder.description,
        target=str(builder.target),
        user=f"{builder.user_id}:{builder.group_id}",
        build=_describe_base(builder.build_base, builder.build_image_name, _disk_usage(builder.rootfs)),
        run=_describe_base(builder.run_base, builder.run_image_name, run_size),
        run_image_digest=str(builder.run_image.digest),
        lifecycle={
            "platform-apis": [str(api) for api in PLATFORM_APIS],
            "buildpack-apis": [str(api) for api in BUILDPACK_APIS],
        },
        buildpacks=[_describe_module(buildpack) for buildpack in builder.buildpacks],
        extensions=[_describe_module(extension) for extension in builder.extensions],
        order=_describe_groups(builder.order.groups),
        extension_order=_describe_groups(builder.order.extensions),
        interpreters=[asdict(interpreter) for interpreter in builder.interpreters],
        left_out_interpreters=dict(builder.left_out),
        tools=dict(builder.tools),
        dockerfile=DockerfileDescription(
            policy=builder.dockerfile.policy.value,
            allowed_bases=list(_ANY if builder.dockerfile.allowed_bases is None else builder.dockerfile.allowed_bases),
            bases=dict(builder.dockerfile.bases),
        ),
        directory=str(builder.directory),
        size=_disk_usage(builder.directory),
    )


def render_description(description: Description) -> str:
    """`describe_builder` for a person."""
    return "\n".join(_render(description))


def _render(description: Description) -> Iterator[str]:
    yield f"Builder {description['key']}: {description['description']}"
    yield f"  target        {description['target']}, user {description['user']}"
    apis = (f"{name} {_span(description['lifecycle'][key])}" for name, key in _API_TITLES)
    yield f"  lifecycle     {', '.join(apis)}"
    yield f"  tools         {', '.join(f'{name} {version}' for name, version in description['tools'].items())}"
    dockerfile = description["dockerfile"]
    yield f"  Dockerfiles   policy {dockerfile['policy']}, bases {', '.join(dockerfile['allowed_bases'])}"
    yield f"  kept in       {description['directory']} ({_megabytes(description['size'])})"
    yield "Interpreters"
    for interpreter in description["interpreters"]:
        is_packed = interpreter["origin"] == MACHINE
        origin = "packed from one that was on the machine" if is_packed else f"from {interpreter['origin']}"
        yield f"  CPython {interpreter['version']} linux/{interpreter['arch']}, {origin}"
    for version, reason in description["left_out_interpreters"].items():
        yield f"  CPython {version}: could be had nowhere ({reason})"
    for title, modules in (("Buildpacks", description["buildpacks"]), ("Extensions", description["extensions"])):
        yield from (title for _ in modules[:1])
        for module in modules:
            yield f"  {module['id']} {module['version']}, Buildpack API {module['api']}"
    yield from _render_groups("Order", description["order"])
    yield from _render_groups("Order of extensions", description["extension_order"])
    yield from _render_base("Build base", description["build"], "on disk")
    yield from _render_base("Run base", description["run"], "compressed")
    yield f"  digest        {description['run_image_digest']}"


def _render_groups(title: str, groups: Sequence[Sequence[Mapping[str, object]]]) -> Iterator[str]:
    yield from (title for _ in groups[:1])
    for number, group in enumerate(groups, start=1):
        members = (
            f"{member['id']}@{member['version']}{' (optional)' if member['optional'] else ''}" for member in group
        )
        yield f"  {number}. {', '.join(members)}"


def _render_base(title: str, base: BaseDescription, kind_of_size: str) -> Iterator[str]:
    yield f"{title} {base['name']}"
    yield f"  made from     {base['origin']}"
    yield f"  size          {_megabytes(base['size'])} {kind_of_size}"
    if base["packages"]:
        yield f"  packages      {len(base['packages'])}:"
        yield from (f"    {package['name']} {package['version']}" for package in base["packages"])


def _describe_module(module: Descriptor) -> dict[str, str]:
    return {"id": str(module.id), "version": module.version, "api": str(module.api), "name": module.name or ""}


def _describe_groups(groups: Sequence[Sequence[GroupMember]]) -> list[list[dict[str, object]]]:
    return [
        [
            {
                "id": str(member.id),
                "version": member.version,
                "optional": member.optional and not member.is_extension,
            }
            for member in group
        ]
        for group in groups
    ]


def _describe_base(base: KeptBase, name: str, size: int) -> BaseDescription:
    return BaseDescription(
        name=name, origin=base.origin, size=size, packages=[asdict(package) for package in base.packages]
    )


def _disk_usage(directory: Path) -> int:
    """Bytes of the files in `directory`."""
    total = 0
    for parent, _, names in os.walk(directory):
        total += sum(Path(parent, name).lstat().st_size for name in names)
    return total


def _span(versions: Sequence[str]) -> str:
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
