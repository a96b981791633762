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
from lifecycle.execution.steps import Stage, Step, Wording, find_parent, find_triggers
from lifecycle.oci.config import History, ImageConfig, parse_config
from lifecycle.oci.image import Image, Layer, make_image

# https://github.com/moby/docker-image-spec/blob/main/specs-go/v1/image.go: what is left are traces of the container that was committed.
_KEPT_IN_CONFIG = frozenset({"Healthcheck", "OnBuild", "Shell", "StopSignal", "StopTimeout"})
_KEPT = frozenset({"os.version", "os.features"})
_NOT_COMMANDS = "#(nop)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What an image was made from."""

    recipe: Recipe
    stages: Sequence[Stage]
    """Of the recipe as it was executed."""
    images: Mapping[str, Image]
    """By local name."""
    architecture: str
    """What the image is built for."""


def make_extended_image(config: bytes, origin: Origin, layers: Mapping[Digest, Layer]) -> Image:
    """Return the image with the engine's `config`; `layers` are by the diff ids that it names.

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
        # An engine takes what begins with nothing to be for its own machine.
        architecture=parsed.architecture if _lineage(origin)[1] is not None else origin.architecture,
    )
    return _assemble(cleaned, [layers[diff_id] for diff_id in parsed.diff_ids])


def remake_image(config: bytes, layers: Mapping[Digest, Layer]) -> Image:
    """Return the image whose config was `config`; `layers` are by their diff ids. Raises `CnbError`."""
    parsed = parse_config(config, source="the config of the last image")
    return _assemble(parsed, [layers[diff_id] for diff_id in parsed.diff_ids])


def _assemble(config: ImageConfig, layers: Sequence[Layer]) -> Image:
    entries = [entry for entry in config.history if not entry.empty_layer]
    origins: Sequence[History | None] = entries if len(entries) == len(layers) else [None] * len(layers)
    return make_image(config, [replace(layer, history=entry) for layer, entry in zip(layers, origins, strict=True)])


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
    stages = origin.stages
    onbuild = {name: triggers_of(image) for name, image in origin.images.items()}
    chain: list[tuple[Step, str]] = []
    number: int | None = _target_stage(origin)
    base: Image | None = None
    while number is not None:
        stage = stages[number]
        base = origin.images.get(stage.base)
        brought = [
            (Step(instruction=stage.steps[0].instruction, is_trigger=True), text)
            for text in find_triggers(stages, number, onbuild)
        ]
        chain = [*brought, *((step, "") for step in stage.steps[1:]), *chain]
        number = find_parent(stages, number)
    return chain, base


def _target_stage(origin: Origin) -> int:
    target = (origin.recipe.target or "").lower()
    names = [(stage.name or "").lower() for stage in origin.stages]
    if target.isdigit() and int(target) < len(names):
        return int(target)
    return names.index(target) if target and target in names else len(names) - 1


def triggers_of(image: Image) -> tuple[str, ...]:
    """Return the instructions that an image brings to those that are made from it."""
    found = image.config.other_in_config.get("OnBuild")
    return tuple(str(text) for text in found) if isinstance(found, list) else ()
