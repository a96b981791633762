"""Makes an image of what `COPY` and `ADD` take from heredocs, so that it need not lie in the context, where `COPY .` would take it too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lifecycle.cnb.recipe import FILES_DIRECTORY, LOCAL_REGISTRY, Recipe, RecipeImage, RecipeInstruction
from lifecycle.oci.archive import ROOT, TarWriter
from pybuild.files_image import Images, make_files_image

_PREFIX = f"{FILES_DIRECTORY}/"
_COPYING = ("COPY", "ADD")


def with_heredocs(recipe: Recipe, images: Images, directory: Path) -> tuple[Recipe, Images]:
    """The recipe whose heredocs are files of one more image, and the images with it; its blob is in `directory`."""
    if not recipe.files:
        return recipe, images

    def fill(archive: TarWriter) -> None:
        for name, content in sorted(recipe.files.items()):
            path = PurePosixPath(name)
            archive.parents(path, ROOT)
            archive.file(path, content.encode("utf-8", "surrogateescape"), ROOT)

    image = make_files_image(fill, directory)
    local = f"{LOCAL_REGISTRY}/heredocs:{image.id.hex[:16]}"
    lines = [one.line for one in recipe.instructions if _PREFIX in one.text]
    entry = RecipeImage(name=local, written="heredocs", line=min(lines, default=1), local=local)
    instructions = tuple(other for one in recipe.instructions for other in _rewrite(one, local))
    return replace(recipe, instructions=instructions, images=(*recipe.images, entry), files={}), (
        *images,
        (entry, image),
    )


def _rewrite(instruction: RecipeInstruction, local: str) -> Iterator[RecipeInstruction]:
    """The instruction, or two where it takes files of the context as well: first these, as BuildKit does."""
    start = instruction.text.find(" [")
    if instruction.keyword not in _COPYING or _PREFIX not in instruction.text or start < 0:
        yield instruction
        return
    # Flags, and then paths as JSON: so the buildpack writes what it takes from heredocs. A long line is continued on others.
    flags = instruction.text[len(instruction.keyword) : start]
    *sources, target = (str(path) for path in json.loads(instruction.text[start:].replace("\\\n", "")))
    ours = [f"/{source.removeprefix(_PREFIX)}" for source in sources if source.startswith(_PREFIX)]
    others = [source for source in sources if not source.startswith(_PREFIX)]
    if others:
        yield replace(instruction, text=f"{instruction.keyword}{flags} {json.dumps([*others, target])}")
    # ADD cannot take from an image, and what a heredoc holds is no archive.
    text = f"COPY{flags} --from={local} {json.dumps([*ours, target])}"
    yield replace(instruction, keyword="COPY", text=text)
