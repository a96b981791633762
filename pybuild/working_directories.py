"""Lets buildah make the directories of `WORKDIR` when BuildKit does: at once, and for the user of that moment.

buildah makes them when something is executed or copied, and while it keeps the layer of every instruction for the next build, what it
made for others is lost: the directory of a last `WORKDIR` would not be in the image, one before a `USER` would be the later user's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.recipe import LOCAL_REGISTRY, Recipe, RecipeImage, RecipeInstruction
from lifecycle.oci.archive import ROOT
from pybuild.files_image import Images, make_files_image

_NOTHING = PurePosixPath("nothing")
_COPYING = ("ADD", "COPY")
_OF_ROOT = ("", "0", "root")


def with_working_directories(recipe: Recipe, images: Images, directory: Path) -> tuple[Recipe, Images]:
    """The recipe in which something is copied where a directory would be forgotten, and the images with the one that it is copied from.

    That one's blob is in `directory`. What is copied is nothing, to `/`: all that comes of it is the directory.
    """
    users = {one.local: image.config.user or "" for one, image in images}
    forgotten = _find_forgotten(recipe.instructions, users)
    if not forgotten:
        return recipe, images
    image = make_files_image(lambda archive: archive.directory(_NOTHING, ROOT), directory)
    local = f"{LOCAL_REGISTRY}/nothing:{image.id.hex[:16]}"
    instructions = tuple(
        one
        for number, instruction in enumerate(recipe.instructions)
        for one in ((instruction, _copy_nothing(instruction, local)) if number in forgotten else (instruction,))
    )
    first = recipe.instructions[min(forgotten)].line
    entry = RecipeImage(name=local, written="an empty directory", line=first, local=local)
    return replace(recipe, instructions=instructions, images=(*recipe.images, entry)), (*images, (entry, image))


def _find_forgotten(instructions: Sequence[RecipeInstruction], users: Mapping[str, str]) -> frozenset[int]:
    """Numbers of the `WORKDIR` instructions whose directories nothing makes in time; `users` are those of images."""
    forgotten = set()
    pending: int | None = None
    user = ""
    of_stages: dict[str, str] = {}
    stage: str | None = None
    for number, instruction in enumerate(instructions):
        words = instruction.text.split()
        keyword = instruction.keyword
        if keyword == "FROM":
            if stage is not None:
                of_stages[stage] = user
            base = words[1] if len(words) > 1 else ""
            user = of_stages.get(base.lower(), users.get(base, ""))
            stage = words[3].lower() if len(words) > 3 else None
        makes = keyword == "RUN" or (keyword in _COPYING and user.partition(":")[0] in _OF_ROOT)
        ends = keyword in ("FROM", "USER", *_COPYING) or (keyword == "WORKDIR" and not _is_relative(words))
        if pending is not None and not makes and ends:
            forgotten.add(pending)
        if makes or ends:
            pending = None
        if keyword == "USER":
            user = words[1] if len(words) == 2 else "unknown"
        elif keyword == "WORKDIR":
            pending = number
    return frozenset(forgotten if pending is None else {*forgotten, pending})


def _is_relative(words: Sequence[str]) -> bool:
    return len(words) > 1 and words[1][:1] not in ("/", "$", '"', "'")


def _copy_nothing(instruction: RecipeInstruction, local: str) -> RecipeInstruction:
    shown = instruction.shown or instruction.text
    text = f'COPY --from={local} ["/{_NOTHING}/", "/"]'
    return RecipeInstruction(keyword="COPY", text=text, line=instruction.line, shown=shown)
