"""What the labels of a builder image say, whoever made it: for a person and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.jsontext import parse_json
from lifecycle.cnb.toml import Table
from lifecycle.oci.image import Image
from pybuild.builder.labels import (
    BUILDER_LABEL,
    BUILDPACK_LAYERS_LABEL,
    EXTENSION_LAYERS_LABEL,
    EXTENSION_ORDER_LABEL,
    ORDER_LABEL,
    STACK_LABEL,
    SYSTEM_LABEL,
)


class ModuleDescription(TypedDict):
    """A buildpack or an extension; what a label does not say is empty. `layer`: diff ID."""

    id: str
    version: str
    name: str
    homepage: str
    api: str
    layer: str


class MemberDescription(TypedDict):
    """A member of an order; `version` is empty where the label has none."""

    id: str
    version: str
    optional: bool


Groups = list[list[MemberDescription]]


class ImageDescription(TypedDict):
    """A builder image."""

    digest: str
    description: str
    created_by: str
    target: str
    user: str
    stack: str
    lifecycle: str
    apis: dict[str, list[str]]
    """Supported versions, then deprecated ones, of `platform` and `buildpack`."""
    run_images: list[dict[str, object]]
    buildpacks: list[ModuleDescription]
    extensions: list[ModuleDescription]
    order: Groups
    extension_order: Groups
    system: dict[str, list[MemberDescription]]


def describe_image(image: Image) -> ImageDescription:
    """What `image`, a builder, says of itself, JSON-able.

    Raises:
        ConfigurationError: it is no builder, or a label is not what it must be.
    """
    labels = image.config.labels
    if BUILDER_LABEL not in labels:
        raise ConfigurationError(
            f"image {image.digest}",
            f"is no builder: it has no label `{BUILDER_LABEL}`",
            advice="name an image that `pybuild builder create` or `pack builder create` made",
        )
    metadata = parse_json(labels[BUILDER_LABEL], source=f"label {BUILDER_LABEL}")
    created_by, lifecycle = metadata.table("createdBy"), metadata.table("lifecycle")
    env = image.config.environment()
    old = metadata.table("stack").table("runImage")
    run_images = metadata.tables("images") or ((old,) if "image" in old else ())
    return ImageDescription(
        digest=str(image.digest),
        description=metadata.optional_string("description") or "",
        created_by=" ".join(created_by.optional_string(key) or "" for key in ("name", "version")).strip(),
        target="/".join(filter(None, (image.config.os, image.config.architecture, image.config.variant))),
        user=":".join(env.get(name, "") for name in ("CNB_USER_ID", "CNB_GROUP_ID")),
        stack=labels.get(STACK_LABEL, ""),
        lifecycle=lifecycle.optional_string("version") or "",
        apis={kind: _versions(lifecycle.table("apis").table(kind)) for kind in ("platform", "buildpack")},
        run_images=[{"image": one.string("image"), "mirrors": list(one.strings("mirrors"))} for one in run_images],
        buildpacks=_modules(metadata.tables("buildpacks"), _label(image, BUILDPACK_LAYERS_LABEL)),
        extensions=_modules(metadata.tables("extensions"), _label(image, EXTENSION_LAYERS_LABEL)),
        order=_groups(_label(image, ORDER_LABEL)),
        extension_order=_groups(_label(image, EXTENSION_ORDER_LABEL)),
        system={
            when: _members(_label(image, SYSTEM_LABEL).table("value").table(when).tables("buildpacks"))
            for when in ("pre", "post")
        },
    )


def render_image_description(description: ImageDescription) -> str:
    """`describe_image` for a person."""
    return "\n".join(_render(description))


def _label(image: Image, name: str) -> Table:
    """The label as the value of a document: some hold arrays. Where it is missing, the document is empty."""
    text = image.config.labels.get(name)
    return parse_json(f'{{"value": {text or "null"}}}', source=f"label {name}")


def _versions(table: Table) -> list[str]:
    return [*table.strings("supported"), *table.strings("deprecated")]


def _modules(tables: Sequence[Table], layers: Table) -> list[ModuleDescription]:
    found = []
    for table in tables:
        facts = layers.table("value").table(table.string("id")).table(table.string("version"))
        found.append(
            ModuleDescription(
                id=table.string("id"),
                version=table.string("version"),
                name=table.optional_string("name") or facts.optional_string("name") or "",
                homepage=table.optional_string("homepage") or facts.optional_string("homepage") or "",
                api=facts.optional_string("api") or "",
                layer=facts.optional_string("layerDiffID") or "",
            )
        )
    return found


def _groups(document: Table) -> Groups:
    return [_members(group.tables("group")) for group in document.tables("value")]


def _members(tables: Sequence[Table]) -> list[MemberDescription]:
    return [
        MemberDescription(
            id=table.string("id"),
            version=table.optional_string("version") or "",
            optional=table.boolean("optional", default=False),
        )
        for table in tables
    ]


def _render(description: ImageDescription) -> Iterator[str]:
    yield f"Builder {description['digest']}: {description['description']}"
    yield f"  made by       {description['created_by']}"
    yield f"  target        {description['target']}, user {description['user']}"
    if description["stack"]:
        yield f"  stack         {description['stack']}"
    apis = (f"{kind.title()} API {', '.join(versions)}" for kind, versions in description["apis"].items())
    yield f"  lifecycle     {description['lifecycle']}, {'; '.join(apis)}"
    yield "Run images"
    for run_image in description["run_images"]:
        mirrors = run_image["mirrors"]
        shown = f", mirrors {', '.join(mirrors)}" if isinstance(mirrors, list) and mirrors else ""
        yield f"  {run_image['image']}{shown}"
    for title, modules in (("Buildpacks", description["buildpacks"]), ("Extensions", description["extensions"])):
        if modules:
            yield title
        for module in modules:
            yield f"  {module['id']} {module['version']}, Buildpack API {module['api']}"
    yield from _render_groups("Order", description["order"])
    yield from _render_groups("Order of extensions", description["extension_order"])
    for when, members in description["system"].items():
        if members:
            yield f"System buildpacks, {when}"
            yield f"  {_shown(members)}"


def _render_groups(title: str, groups: Groups) -> Iterator[str]:
    if groups:
        yield title
    for number, group in enumerate(groups, start=1):
        yield f"  {number}. {_shown(group)}"


def _shown(members: Sequence[MemberDescription]) -> str:
    return ", ".join(
        "@".join(filter(None, (member["id"], member["version"]))) + (" (optional)" if member["optional"] else "")
        for member in members
    )
