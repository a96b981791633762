"""The steps of a recipe as those who execute it count them, and the instruction that each stands for.

A step is an instruction of a stage; triggers that a base image brings (`ONBUILD`) come after its `FROM`, and instructions that
pybuild added for itself are not for people to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lifecycle.cnb.recipe import Recipe, RecipeInstruction

_SHOWN_LENGTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step. `instruction` is that of the Dockerfile; that of `FROM` where a trigger of the base ran."""

    instruction: RecipeInstruction
    is_trigger: bool = False
    is_own: bool = False
    """Added by pybuild."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The steps of a stage, `FROM` first."""

    name: str | None
    base: str
    """What its `FROM` names."""
    steps: tuple[Step, ...]

    def step(self, number: int, total: int) -> Step | None:
        """Return step `number`, from 1, of so many as there are with the base's triggers; `None` where that cannot be."""
        triggers = total - len(self.steps)
        if not 1 <= number <= total or triggers < 0:
            return None
        if 1 < number <= 1 + triggers:
            return Step(instruction=self.steps[0].instruction, is_trigger=True)
        return self.steps[number - 1 if number == 1 else number - 1 - triggers]


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How instructions are shown: as they were written, without what only pybuild calls so, and without secrets."""

    names: Mapping[str, str] = field(default_factory=dict)
    """What was written, by the local name that stands in the recipe."""
    secrets: tuple[str, ...] = ()
    escape: str = "\\"

    @classmethod
    def of(cls, recipe: Recipe) -> Wording:
        """Return the wording of a recipe."""
        values = (recipe.build_args.get(name, "") for name in recipe.secret_args)
        return cls(
            names={image.local: image.written for image in recipe.images},
            # Shorter ones are part of everything.
            secrets=tuple(sorted({value for value in values if len(value) >= _SECRET_LENGTH}, key=len, reverse=True)),
            escape=recipe.escape,
        )

    def clean(self, text: str) -> str:
        """Return `text` with the names that were written, and without secrets."""
        for local, written in self._ordered_names:
            text = text.replace(local, written)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    @cached_property
    def _ordered_names(self) -> Sequence[tuple[str, str]]:
        # A name may be the beginning of another.
        return sorted(self.names.items(), key=lambda pair: len(pair[0]), reverse=True)

    def line(self, instruction: RecipeInstruction) -> str:
        """Return an instruction in one line; one that stands for another, as that other."""
        if instruction.shown is not None and not instruction.shown.startswith(instruction.keyword):
            return self.clean(" ".join(instruction.shown.split()))
        lines = (line.rstrip().removesuffix(self.escape) for line in instruction.text.split("\n"))
        return self.clean(" ".join(" ".join(lines).split()))

    def shortened(self, instruction: RecipeInstruction) -> str:
        """Return what a message has room for, as the Dockerfile has it."""
        text = self.line(instruction) if instruction.shown is None else self.clean(instruction.shown)
        return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 1]}…"


_SECRET_LENGTH = 4


def plan_stages(recipe: Recipe, arguments: Sequence[str]) -> tuple[Stage, ...]:
    """Return the stages of `recipe.render(arguments=arguments)`, in order."""
    stages: list[Stage] = []
    steps: list[Step] = []
    for instruction in recipe.instructions:
        if instruction.keyword == "FROM":
            if steps:
                stages.append(_stage(steps))
            own = (RecipeInstruction(keyword="ARG", text=f"ARG {name}", line=instruction.line) for name in arguments)
            steps = [Step(instruction=instruction), *(Step(instruction=one, is_own=True) for one in own)]
        elif steps:  # an ARG before the first FROM belongs to no stage
            steps.append(Step(instruction=instruction, is_own=instruction.is_own))
    if steps:
        stages.append(_stage(steps))
    return tuple(stages)


def _stage(steps: Sequence[Step]) -> Stage:
    words = steps[0].instruction.text.split()
    name = words[3] if len(words) > 3 and words[2].upper() == "AS" else None
    return Stage(name=name, base=words[1] if len(words) > 1 else "", steps=tuple(steps))


def find_parent(stages: Sequence[Stage], number: int) -> int | None:
    """Return the stage before `number` that it begins with; `None` where that is an image."""
    base = stages[number].base.lower()
    found = [earlier for earlier in range(number) if (stages[earlier].name or "").lower() == base]
    return found[-1] if found else None


def find_triggers(stages: Sequence[Stage], number: int, of_images: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the instructions that the base of a stage brings; `of_images` has those of images by their local names."""
    parent = find_parent(stages, number)
    if parent is None:
        return tuple(of_images.get(stages[number].base, ()))
    texts = (
        " ".join(one.instruction.text.split()) for one in stages[parent].steps if one.instruction.keyword == "ONBUILD"
    )
    return tuple(text.partition(" ")[2] for text in texts)
