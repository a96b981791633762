"""Dockerfiles of image extensions as recipes: what executes those of applications executes them too (image_extension.md, "Generation").

Each result is the base of the next. What Dockerfiles may know of their base are build arguments; what the image says of being
rebasable counts only where a Dockerfile says it anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.cnb.generated import BASE_IMAGE, Generated, Kind, parse_instructions
from lifecycle.cnb.labels import REBASABLE_LABEL
from lifecycle.cnb.recipe import LOCAL_REGISTRY, Recipe, RecipeImage, RecipeInstruction
from lifecycle.execution.errors import ExtendError

_ROOT = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUser:
    """The user of an image's config, as Dockerfiles are told of it."""

    user_id: str
    group_id: str

    @classmethod
    def parse(cls, text: str | None) -> ImageUser:
        """Return what `User` of a config says."""
        user, _, group = (text or "").partition(":")
        return cls(user_id=user, group_id=group)

    @property
    def is_root(self) -> bool:
        """Whether commands of the image have all rights."""
        return self.user_id in ("", _ROOT) or (self.user_id.isdigit() and int(self.user_id) == 0)


def make_recipe(generated: Generated, base: str, user: ImageUser) -> Recipe:
    """Return the recipe of a Dockerfile that extends the image `base`, a local name, which runs as `user`. Raises `ExtendError`."""
    dockerfile = generated.dockerfile
    lines = dockerfile.text.splitlines()
    local = f"{LOCAL_REGISTRY}/{base}"
    name = f"{generated.extension}/{dockerfile.path.name}"
    instructions: list[RecipeInstruction] = []
    for one in parse_instructions(dockerfile.text):
        if one.has_heredoc:
            raise ExtendError(
                message=f"{name}:{one.line}: `{one.keyword}` has a here-document, which buildah does not know here",
                advice="write a file of the context, or `printf`, instead",
            )
        if one.keyword == "FROM":
            instructions.append(RecipeInstruction(keyword="FROM", text=f"FROM {local}", line=one.line))
            if generated.kind is Kind.RUN:
                text = f'LABEL {REBASABLE_LABEL}="false"'
                instructions.append(RecipeInstruction(keyword="LABEL", text=text, line=one.line, shown=""))
        else:
            text = "\n".join(lines[one.line - 1 : one.last_line])
            instructions.append(RecipeInstruction(keyword=one.keyword, text=text, line=one.line))
    written = dockerfile.base or f"${{{BASE_IMAGE}}}"
    return Recipe(
        dockerfile=name,
        escape=dockerfile.escape,
        instructions=tuple(instructions),
        images=(RecipeImage(name=written, written=written, line=dockerfile.start.line, local=local),),
        build_args={**dict(generated.arguments), **_own_arguments(local, user)},
    )


def _own_arguments(base: str, user: ImageUser) -> Mapping[str, str]:
    return {
        BASE_IMAGE: base,
        # Another one each time: what comes after a use of it is not taken from a cache.
        "build_id": str(uuid.uuid4()),
        "user_id": user.user_id,
        "group_id": user.group_id,
    }
