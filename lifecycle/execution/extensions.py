"""Dockerfiles of image extensions as recipes: what executes those of applications executes them too (image_extension.md, "Generation").

Each result is the base of the next. What Dockerfiles may know of their base are build arguments; what the image says of being
rebasable counts only where a Dockerfile says it anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lifecycle.cnb.generated import BASE_IMAGE, Generated, Kind, parse_instructions
from lifecycle.cnb.labels import REBASABLE_LABEL
from lifecycle.cnb.recipe import LOCAL_REGISTRY, Recipe, RecipeImage, RecipeInstruction
from lifecycle.execution.errors import ExtendError
from lifecycle.oci.image import Image, make_image

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


def make_recipe(generated: Generated, name: str, base: Image) -> Recipe:
    """Return the recipe of a Dockerfile that extends `base`, which whoever executes it knows by `name`. Raises `ExtendError`."""
    dockerfile = generated.dockerfile
    lines = dockerfile.text.splitlines()
    local = f"{LOCAL_REGISTRY}/{name}"
    place = f"{generated.extension}/{dockerfile.path.name}"
    instructions: list[RecipeInstruction] = []
    for one in parse_instructions(dockerfile.text):
        if one.has_heredoc:
            raise ExtendError(
                message=f"{place}:{one.line}: `{one.keyword}` has a here-document, which buildah does not know here",
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
        dockerfile=place,
        escape=dockerfile.escape,
        instructions=tuple(instructions),
        images=(RecipeImage(name=written, written=written, line=dockerfile.start.line, local=local),),
        build_args={**dict(generated.arguments), **_own_arguments(local, ImageUser.parse(base.config.user))},
    )


def _own_arguments(base: str, user: ImageUser) -> Mapping[str, str]:
    return {
        BASE_IMAGE: base,
        # Another one each time: what comes after a use of it is not taken from a cache.
        "build_id": str(uuid.uuid4()),
        "user_id": user.user_id,
        "group_id": user.group_id,
    }


def says_rebasable(image: Image) -> bool:
    """Return whether the Dockerfile that made an image says that what is below it can be replaced."""
    return image.config.labels.get(REBASABLE_LABEL) == "true"


def finish_run_image(image: Image, generated: Sequence[Generated], *, is_rebasable: bool) -> Image:
    """Return the run image after the last of its Dockerfiles. Raises `ExtendError` where it would run as root."""
    if generated and ImageUser.parse(image.config.user).is_root:
        last = generated[-1]
        raise ExtendError(
            message=f"the run image that `{last.extension}` has made runs as root",
            advice=f"end {last.dockerfile.path.name} with the user that it began with: "
            "`ARG user_id`, `ARG group_id`, `USER ${user_id}:${group_id}`",
        )
    labels = {**image.config.labels, REBASABLE_LABEL: "true" if is_rebasable else "false"}
    return make_image(replace(image.config, labels=labels), image.layers)
