"""A recipe: what a Dockerfile of the application becomes before anything of it runs. pybuild's own file between the phases.

`bin/generate` of a buildpack writes it, the platform fetches the images that it names, and the executor does what it says. Its instructions
are Dockerfile syntax that buildah 1.28 and the BuildKit of Docker 20.10 execute alike: what only newer ones know (heredocs) is put
in older words, and every image from elsewhere has a local name, so that whoever executes it asks no registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.cnb.jsontext import parse_json, render_json
from lifecycle.cnb.toml import Table, read_regular_file, write_atomically

# Where the context holds `Recipe.files` while the recipe is executed.
FILES_DIRECTORY = ".pybuild-heredocs"
# No registry has a host of this name (https://www.rfc-editor.org/rfc/rfc2606#section-2).
LOCAL_REGISTRY = "pybuild.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeImage:
    """An image that is not made by the recipe itself."""

    name: str
    """With registry, repository and tag or digest spelled out: `docker.io/library/python:3.11`."""
    written: str
    """As the Dockerfile has it, after its variables were put in."""
    line: int
    """Where it is used first."""
    platform: str | None = None
    """What it must be made for, where that is not this machine: `linux/arm64`."""
    local: str
    """What `Recipe.instructions` call it: a name below `LOCAL_REGISTRY`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image says of itself that instructions depend on."""

    env: tuple[str, ...] = ()
    """`NAME=value`, as its config has them."""
    shell: tuple[str, ...] = ()
    """That of commands that are text; empty: none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeInstruction:
    """An instruction; `text` may have several lines, `line` is its first in the file that it comes from."""

    keyword: str
    text: str
    line: int
    shown: str | None = None
    """As the file has it, where `text` is in other words: for messages. Empty: it has nothing of the kind."""

    @property
    def is_own(self) -> bool:
        """Whether it was added by pybuild, and is shown to nobody."""
        return self.shown == ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A Dockerfile, ready to be executed."""

    dockerfile: str
    """Path in the application, for messages."""
    ignore_file: str | None = None
    """Path in the application of the file that says what stays out of the context (`.dockerignore`)."""
    escape: str = "\\"
    instructions: tuple[RecipeInstruction, ...]
    images: tuple[RecipeImage, ...] = ()
    """Each once, in the order of their first use."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What `COPY` and `ADD` take from heredocs: content by path below `FILES_DIRECTORY`."""
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    """Stage to build; `None`: the last."""
    secret_args: tuple[str, ...] = ()
    """Names of build arguments whose values look like secrets: kept out of logs and history."""
    awaits_images: bool = False
    """Whether it would be another one with the facts of `images`: then `bin/generate` is to be run again, with these facts in the file
    that `PYBUILD_IMAGES_PATH` names. As it is, images have no variables and no shell of their own.
    """
    whole_image: bool = True
    """Whether the result is the image itself; false: the run image below the layers of other buildpacks."""

    def render(self, *, arguments: Sequence[str] = (), run_flags: Sequence[str] = ()) -> tuple[str, tuple[int, ...]]:
        """Return the Dockerfile to execute, and for each of its lines the line in the application's Dockerfile.

        `arguments` are names that every stage declares as `ARG`; `run_flags` stand before the command of every `RUN`.
        """
        lines: list[str] = []
        origins: list[int] = []

        def put(text: str, origin: int, *, spans: bool) -> None:
            for number, line in enumerate(text.split("\n")):
                lines.append(line)
                origins.append(origin + number if spans else origin)

        if self.escape != "\\":
            put(f"# escape={self.escape}", 1, spans=False)
        for instruction in self.instructions:
            text = instruction.text
            if instruction.keyword == "RUN" and run_flags:
                text = f"RUN {' '.join(run_flags)}{text.removeprefix('RUN')}"
            put(text, instruction.line, spans=True)
            if instruction.keyword == "FROM":
                for name in arguments:
                    put(f"ARG {name}", instruction.line, spans=False)
        return "\n".join(lines) + "\n", tuple(origins)


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe; it is there whole or not at all."""
    write_atomically(path, _encode(recipe))


def _encode(recipe: Recipe) -> bytes:
    values = {
        "dockerfile": recipe.dockerfile,
        "ignore-file": recipe.ignore_file,
        "escape": recipe.escape,
        "instructions": [
            {"keyword": one.keyword, "text": one.text, "line": one.line, "shown": one.shown}
            for one in recipe.instructions
        ],
        "images": [
            {"name": one.name, "written": one.written, "line": one.line, "platform": one.platform, "local": one.local}
            for one in recipe.images
        ],
        "files": recipe.files,
        "build-args": recipe.build_args,
        "target": recipe.target,
        "secret-args": recipe.secret_args,
        "awaits-images": recipe.awaits_images,
        "whole-image": recipe.whole_image,
    }
    return render_json(values).encode("utf-8", "surrogateescape")


def read_recipe(path: Path) -> Recipe:
    """Return the recipe at `path`, which untrusted code may have written. Raises `ConfigurationError`."""
    text = read_regular_file(path, follow_links=False).decode("utf-8", "surrogateescape")
    document = parse_json(text, source=path.name)
    return Recipe(
        dockerfile=document.string("dockerfile"),
        ignore_file=document.optional_string("ignore-file"),
        escape=document.string("escape"),
        instructions=tuple(_parse_instruction(table) for table in document.tables("instructions")),
        images=tuple(_parse_image(table) for table in document.tables("images")),
        files=_parse_strings(document.table("files")),
        build_args=_parse_strings(document.table("build-args")),
        target=document.optional_string("target"),
        secret_args=document.strings("secret-args"),
        awaits_images=document.boolean("awaits-images", default=False),
        whole_image=document.boolean("whole-image", default=True),
    )


def write_image_facts(path: Path, facts: Mapping[str, ImageFacts]) -> None:
    """Write what images say of themselves, by `RecipeImage.local`."""
    values = {local: {"env": list(one.env), "shell": list(one.shell)} for local, one in facts.items()}
    write_atomically(path, render_json({"images": values}).encode("utf-8", "surrogateescape"))


def read_image_facts(path: Path) -> dict[str, ImageFacts]:
    """Return what `write_image_facts` wrote. Raises `ConfigurationError`."""
    text = read_regular_file(path, follow_links=False).decode("utf-8", "surrogateescape")
    images = parse_json(text, source=path.name).table("images")
    return {
        local: ImageFacts(env=images.table(local).strings("env"), shell=images.table(local).strings("shell"))
        for local in images.values
    }


def _parse_instruction(table: Table) -> RecipeInstruction:
    return RecipeInstruction(
        keyword=table.string("keyword"),
        text=table.string("text"),
        line=_integer(table, "line"),
        shown=table.optional_string("shown"),
    )


def _parse_image(table: Table) -> RecipeImage:
    return RecipeImage(
        name=table.string("name"),
        written=table.string("written"),
        line=_integer(table, "line"),
        platform=table.optional_string("platform"),
        local=table.string("local"),
    )


def _integer(table: Table, key: str) -> int:
    value = table.optional_integer(key)
    if value is None:
        raise table.error("is required", key=key)
    return value


def _parse_strings(table: Table) -> dict[str, str]:
    # A value may be empty.
    return {key: table.optional_string(key) or "" for key in table.values}
