"""Recipes for tests, written as Dockerfiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lifecycle.cnb.recipe import LOCAL_REGISTRY, Recipe, RecipeImage, RecipeInstruction


def local_name(name: str) -> str:
    return f"{LOCAL_REGISTRY}/docker.io/library/{name}"


def recipe_image(name: str, *, line: int = 1) -> RecipeImage:
    return RecipeImage(name=f"docker.io/library/{name}", written=name, line=line, local=local_name(name))


def recipe_of(
    text: str,
    *,
    images: Sequence[str] = (),
    build_args: Mapping[str, str] | None = None,
    secret_args: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    target: str | None = None,
    ignore_file: str | None = None,
) -> Recipe:
    """The recipe of a Dockerfile whose instructions may go on after a backslash; `{name:tag}` stands for an image of `images`."""
    for name in images:
        text = text.replace("{" + name + "}", local_name(name))
    instructions = []
    pending: list[str] = []
    for number, line in enumerate(text.removeprefix("\n").split("\n"), 1):
        if not pending and not line.strip():
            continue
        pending.append(line)
        if not line.endswith("\\"):
            whole = "\n".join(pending)
            keyword = whole.split()[0]
            instructions.append(RecipeInstruction(keyword=keyword, text=whole, line=number + 1 - len(pending)))
            pending = []
    return Recipe(
        dockerfile="Dockerfile",
        instructions=tuple(instructions),
        images=tuple(recipe_image(name) for name in images),
        build_args=build_args or {},
        secret_args=tuple(secret_args),
        files=files or {},
        target=target,
        ignore_file=ignore_file,
    )
