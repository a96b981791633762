"""Where the mounts of a `RUN` are put, so that buildah 1.28 does not take away what was there.

After a `RUN --mount=…,target=T` it removes T from the layer, with all that was in it before (`cleanupRunMounts`). What it removes it
looks for in the layer alone, what it mounts on where the command sees it. So T is named by a link that only commands see: below
`/dev`, which is no part of a layer. A second slash before it, because buildah passes over what begins with `/dev/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from lifecycle.cnb.recipe import Recipe, RecipeInstruction

# Of the directory that the sandbox shows to commands.
LINKS = "mounts"
_FLAGS = re.compile(r"RUN((?:(?:[ \t]|\\\n)+--\S+)*)")
_MOUNT = re.compile(r"--mount=(\S+)")
_TARGETS = ("target", "dst", "destination")
# What means nothing but itself, to buildah's parser as well.
_PLAIN = re.compile(r"/[A-Za-z0-9_@%+:./-]*", re.ASCII)


def redirect_mounts(recipe: Recipe, directory: str) -> tuple[Recipe, Mapping[str, str]]:
    """Return the recipe with the mounts of commands at links below `directory`, and where each of these links leads, by name."""
    links: dict[str, str] = {}

    def redirect(instruction: RecipeInstruction) -> RecipeInstruction:
        flags = _FLAGS.match(instruction.text) if instruction.keyword == "RUN" else None
        if flags is None or not flags[1]:
            return instruction
        written = _MOUNT.sub(lambda mount: f"--mount={_redirect(mount[1], directory, links)}", flags[1])
        shown = instruction.shown or " ".join(instruction.text.replace("\\\n", " ").split())
        return replace(instruction, text=f"RUN{written}{instruction.text[flags.end() :]}", shown=shown)

    instructions = tuple(redirect(instruction) for instruction in recipe.instructions)
    return replace(recipe, instructions=instructions), links


def _redirect(mount: str, directory: str, links: dict[str, str]) -> str:
    fields = [field.partition("=") for field in mount.split(",")]
    places = [number for number, (name, _, _) in enumerate(fields) if name in _TARGETS]
    if not places or _PLAIN.fullmatch(fields[places[-1]][2]) is None:
        return mount
    target = fields[places[-1]][2]
    # Named by what it leads to: buildah's cache of layers knows a mount by its text.
    name = hashlib.sha256(target.encode()).hexdigest()[:16]
    links[name] = target
    others = ["".join(field) for number, field in enumerate(fields) if number not in places]
    if "type=cache" in others and not any(field.startswith("id=") for field in others):
        others.append(f"id={target}")
    return ",".join([*others, f"target=/{directory}/{LINKS}/{name}"])
