"""Makes an image of this platform of what an engine made of a recipe: its config without what only the engine knows, and its layers,
those of the bases as they are.

The engine's config comes from where commands of the Dockerfile ran; it is read as any image of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.recipe import Recipe
from lifecycle.execution.errors import ExtendError
from lifecycle.execution.steps import Stage, Step, Wording
from lifecycle.oci.config import History, ImageConfig, parse_config
from lifecycle.oci.image import Image, Layer, make_image

# https://github.com/moby/docker-image-spec/blob/main/specs-go/v1/image.go: what is left are traces of the container that was committed.
_KEPT_IN_CONFIG = frozenset({"Healthcheck", "OnBuild", "Shell", "StopSignal", "StopTimeout"})
_KEPT = frozenset({"os.version", "os.features"})
_SCRATCH = "scratch"
_NOT_COMMANDS = "#(nop)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What an image was made from."""

    recipe: Recipe
    stages: Sequence[Stage]
    """Of the recipe as it was executed."""
    images: Mapping[str, Image]
    """By local name."""


def make_extended_image(config: bytes, origin: Origin, layers: Mapping[Digest, Layer]) -> Image:
    """Return the image with the engine's `config`, whose layers are among `layers`.

    Raises:
        lifecycle.cnb.errors.CnbError: the config makes no sense.
    """
    parsed = parse_config(config, source="the config of the built image")
    for diff_id in parsed.diff_ids:
        if diff_id not in layers:
            raise ExtendError(message=f"the built image has a layer {diff_id} that was not exported")
    cleaned = replace(
        parsed,
        other={key: value for key, value in parsed.other.items() if key in _KEPT},
        other_in_config={
            key: value for key, value in parsed.other_in_config.items() if key in _KEPT_IN_CONFIG and value
        },
        history=_clean_history(parsed, origin),
    )
    return make_image(cleaned, [replace(layers[diff_id], history=None) for diff_id in parsed.diff_ids])


def _clean_history(config: ImageConfig, origin: Origin) -> tuple[History, ...]:
    """The history, with the instructions of the Dockerfile as they were written and without those of pybuild."""
    steps, base = _lineage(origin)
    wording = Wording.of(origin.recipe)
    count = len(config.history) - len(steps)
    own = config.history[count:] if count >= 0 else ()
    if count < 0 or not all(_is_of(entry, step) for entry, (step, _) in zip(own, steps, strict=True)):
        # An engine that counts otherwise: what is in the image is right, and nobody learns from its history what no one may.
        known = () if base is None else base.config.history
        nameless = (
            replace(entry, created_by=origin.recipe.dockerfile, comment=None) for entry in config.history[len(known) :]
        )
        return (*config.history[: len(known)], *nameless)
    cleaned = [
        replace(entry, created_by=wording.clean(text), comment=None)
        for entry, (step, text) in zip(own, ((step, text) for step, text in _worded(steps, wording)), strict=True)
        if not (step.is_own and entry.empty_layer)
    ]
    return (*config.history[:count], *cleaned)


def _worded(steps: Sequence[tuple[Step, str]], wording: Wording) -> Sequence[tuple[Step, str]]:
    return [(step, text or wording.line(step.instruction)) for step, text in steps]


def _is_of(entry: History, step_and_text: Step) -> bool:
    created_by = entry.created_by or ""
    keyword = step_and_text.instruction.keyword
    if step_and_text.is_trigger:
        return True
    if keyword == "RUN":
        return _NOT_COMMANDS not in created_by.split("/bin/sh -c", 1)[-1][:10] or created_by.startswith("RUN ")
    return keyword in created_by


def _lineage(origin: Origin) -> tuple[list[tuple[Step, str]], Image | None]:
    """The steps that made the image, first to last, each with its text where that is not its instruction's; and the base below."""
    by_name = {stage.name.lower(): number for number, stage in enumerate(origin.stages) if stage.name is not None}
    target = origin.recipe.target
    last = len(origin.stages) - 1 if target is None else by_name.get(target.lower(), len(origin.stages) - 1)
    chain: list[tuple[Step, str]] = []
    number: int | None = last
    base: Image | None = None
    while number is not None:
        stage = origin.stages[number]
        name = stage.steps[0].instruction.text.split()[1]
        parent = by_name.get(name.lower())
        parent = parent if parent is not None and parent < number else None
        base = None if parent is not None or name == _SCRATCH else origin.images.get(name)
        triggers = _triggers_of_stage(origin.stages[parent]) if parent is not None else _triggers_of_image(base)
        brought = [(Step(instruction=stage.steps[0].instruction, is_trigger=True), text) for text in triggers]
        chain = [*brought, *((step, "") for step in stage.steps[1:]), *chain]
        number = parent
    return chain, base


def _triggers_of_stage(stage: Stage) -> list[str]:
    texts = (" ".join(step.instruction.text.split()) for step in stage.steps if step.instruction.keyword == "ONBUILD")
    return [text.partition(" ")[2] for text in texts]


def _triggers_of_image(base: Image | None) -> list[str]:
    found = None if base is None else base.config.other_in_config.get("OnBuild")
    return [str(text) for text in found] if isinstance(found, list) else []
