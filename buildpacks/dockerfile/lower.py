"""From the stages of a Dockerfile to instructions that every builder executes as BuildKit would: what only newer ones know is put
in older words, images get their local names, and stages that are not needed are left out.

BuildKit is what an author has tried; buildah 1.28 reads some things differently, and then what BuildKit would make of them is
written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from buildpacks.dockerfile.arguments import InvalidWord, Pair, split_arguments, split_build_args, split_pairs
from buildpacks.dockerfile.copying import lower_copy
from buildpacks.dockerfile.errors import Problem
from buildpacks.dockerfile.evaluate import Evaluation, Stage
from buildpacks.dockerfile.instruction import Dockerfile, Instruction
from buildpacks.dockerfile.ports import spell_out_ports
from buildpacks.dockerfile.running import lower_command
from buildpacks.dockerfile.scope import Scope, Value
from buildpacks.dockerfile.work import Work
from buildpacks.dockerfile.writing import quote, write_exec_form, write_instruction
from lifecycle.cnb.recipe import ImageFacts, RecipeImage, RecipeInstruction

# A recipe is read again with a limit of 16 MB; JSON may need twice the room.
_LARGEST = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """What becomes of the instructions."""

    instructions: tuple[RecipeInstruction, ...]
    files: Mapping[str, str]
    """What here-documents hold that are copied: content by path below `FILES_DIRECTORY`."""
    awaits_images: bool
    """Whether it depends on what images say of themselves, which was not told."""


def lower(
    dockerfile: Dockerfile,
    evaluation: Evaluation,
    *,
    build_args: Mapping[str, str],
    facts: Mapping[str, ImageFacts],
    image_name: Callable[[RecipeImage], str],
) -> tuple[Lowered, tuple[Problem, ...]]:
    """Return the instructions, and what cannot be put in older words.

    `facts` are by the local names of images; `image_name` says what the instructions call an image.
    """
    work = Work.on(
        evaluation, path=dockerfile.path, escape=dockerfile.escape, build_args=build_args, image_name=image_name
    )
    _Stages(work=work, evaluation=evaluation, facts=facts).lower()
    size = sum(len(one.text) for one in work.written) + sum(map(len, work.files.values()))
    if size > _LARGEST:
        change = "put what is long into files of the repository"
        work.problems.add(1, "too-large", f"with its variables, the file has {size} characters", change)
    lowered = Lowered(instructions=tuple(work.written), files=work.files, awaits_images=work.awaits_images)
    return lowered, work.problems.found


@dataclass(slots=True, kw_only=True)
class _Stages:
    work: Work
    evaluation: Evaluation
    facts: Mapping[str, ImageFacts]
    ends: dict[int, Scope] = field(default_factory=dict)
    """What is known at the end of a stage, by its index."""
    declared: dict[int, list[tuple[Instruction, tuple[str, ...]]]] = field(default_factory=dict)
    """`EXPOSE` and `VOLUME` of a stage, with the values of their arguments."""

    def lower(self) -> None:
        for instruction in self.evaluation.head:
            self._guarded(instruction, self._lower_head)
        for stage in self.evaluation.stages:
            self._lower_stage(stage)
        for keyword in ("EXPOSE", "VOLUME"):
            self._write_declared(keyword)

    def _lower_stage(self, stage: Stage) -> None:
        self.work.stage = stage
        self.work.scope = self._scope_of(stage)
        self.declared[stage.index] = []
        name = f" AS {stage.name}" if stage.name else ""
        self.work.write(stage.origin, f"FROM {self.work.source_name(stage.base)}{name}")
        if self.work.scope.arguments:
            self._guarded(stage.origin, self._declare_inherited)
        for instruction in stage.instructions:
            self._guarded(instruction, self._lower_instruction)
        self.ends[stage.index] = self.work.scope

    def _scope_of(self, stage: Stage) -> Scope:
        if stage.base.stage is not None:
            return self.ends[stage.base.stage].copy()
        if stage.base.image is not None:
            return Scope.of_image(self.facts.get(stage.base.image.local))
        return Scope.of_nothing()

    def _declare_inherited(self, origin: Instruction) -> None:
        """Build arguments of the stage that this one begins with: BuildKit hands them on, buildah does not."""
        scope = self.work.scope
        pairs = [
            self._argument(name, Value.of(value, is_certain=name not in scope.uncertain))
            for name, value in scope.arguments.items()
        ]
        self.work.write(origin, write_instruction("ARG", (), " ".join(pairs)), keyword="ARG")

    def _argument(self, name: str, value: Value | None) -> str:
        return name if value is None or name in self.work.build_args else f"{name}={self.work.literal(value)}"

    def _guarded(self, instruction: Instruction, function: Callable[[Instruction], None]) -> None:
        try:
            function(instruction)
        except InvalidWord as err:
            message = f"`{instruction.keyword} {instruction.rest[:80]}`: {err.reason}"
            self.work.problems.add(instruction.line, "word", message, "correct the variable", instruction.keyword)

    def _lower_head(self, instruction: Instruction) -> None:
        pairs = split_build_args(instruction.rest, escape=self.work.escape)
        if self._is_common_arg(instruction, pairs):
            self.work.write_as_it_is(instruction)
            return
        values = self.evaluation.global_args
        written = [
            self._argument(one.name, None if one.value is None else Value.of(values.get(one.name, ""))) for one in pairs
        ]
        self.work.write(instruction, write_instruction("ARG", (), " ".join(written)))

    def _lower_instruction(self, instruction: Instruction) -> None:
        keyword = instruction.keyword
        if keyword in ("ENV", "LABEL"):
            self._lower_pairs(instruction)
        elif keyword == "ARG":
            self._lower_arg(instruction)
        elif keyword in ("EXPOSE", "VOLUME"):
            self._declare(instruction)
        elif keyword == "WORKDIR":
            self._lower_workdir(instruction)
        elif keyword in ("STOPSIGNAL", "USER"):
            self._lower_word(instruction)
        elif keyword in ("ADD", "COPY"):
            lower_copy(self.work, instruction)
        elif keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK", "RUN", "SHELL"):
            lower_command(self.work, instruction)
        else:
            self._lower_other(instruction)

    def _lower_pairs(self, instruction: Instruction) -> None:
        pairs = split_pairs(instruction.rest, escape=self.work.escape)
        # All see what was before the instruction.
        values = [(self.work.value_of(pair.name).text, self.work.value_of(pair.value or "")) for pair in pairs]
        if self.work.is_common(instruction.rest):
            self.work.write_as_it_is(instruction)
        else:
            written = [
                f"{quote(name)}={self._as_written(pair.value or '', value)}"
                for pair, (name, value) in zip(pairs, values, strict=True)
            ]
            self.work.write(instruction, write_instruction(instruction.keyword, (), " ".join(written)))
        if instruction.keyword == "ENV":
            for name, value in values:
                self.work.scope.set(name, value, is_argument=False)

    def _as_written(self, text: str, value: Value) -> str:
        # Of `ENV name value` the value may have white space.
        is_word = text != "" and not any(map(str.isspace, text))
        return text if is_word and self.work.is_common(text) else self.work.literal(value)

    def _lower_arg(self, instruction: Instruction) -> None:
        pairs = split_build_args(instruction.rest, escape=self.work.escape)
        values = []
        for pair in pairs:
            value = self._argument_value(pair)
            values.append(None if pair.value is None else value)
            if value is not None:
                self.work.scope.set(pair.name, value, is_argument=True)
        if self._is_common_arg(instruction, pairs):
            self.work.write_as_it_is(instruction)
            return
        written = [self._argument(pair.name, value) for pair, value in zip(pairs, values, strict=True)]
        self.work.write(instruction, write_instruction("ARG", (), " ".join(written)))

    def _is_common_arg(self, instruction: Instruction, pairs: Sequence[Pair]) -> bool:
        # BuildKit lets an argument see those before it in the same instruction.
        return (len(pairs) == 1 or "$" not in instruction.rest) and self.work.is_common(instruction.rest)

    def _argument_value(self, pair: Pair) -> Value | None:
        if pair.name in self.work.build_args:
            return Value.of(self.work.build_args[pair.name])
        if pair.value is not None:
            return self.work.value_of(pair.value)
        inherited = self.evaluation.global_args.get(pair.name)
        return None if inherited is None else Value.of(inherited)

    def _lower_word(self, instruction: Instruction) -> None:
        value = self.work.value_of(instruction.rest)
        if self.work.is_common(instruction.rest):
            self.work.write_as_it_is(instruction)
        else:
            self.work.write(instruction, write_instruction(instruction.keyword, (), self.work.literal(value)))

    def _lower_workdir(self, instruction: Instruction) -> None:
        if not self.work.is_as_written(instruction.rest):
            literal = self.work.literal(self.work.value_of(instruction.rest))
            instruction = replace(instruction, rest=literal)
            self.work.check_values(instruction)
        self.work.write(instruction, write_instruction("WORKDIR", (), instruction.rest))

    def _declare(self, instruction: Instruction) -> None:
        """Keep it for the end: buildah drops what commands write into volumes, and one of two protocols of a port."""
        values = [self.work.value_of(one) for one in instruction.words or split_arguments(instruction.rest)]
        words = [word for value in values for word in value.words]
        if instruction.keyword == "VOLUME":
            words = [value.text.strip() for value in values]
        else:
            words = [port for word in words for port in spell_out_ports(word)]
        for value in values:
            self.work.text_of(value)
        stage = len(self.declared) - 1
        self.declared[self.evaluation.stages[stage].index].append((instruction, tuple(filter(None, words))))

    def _write_declared(self, keyword: str) -> None:
        found = [(one, words) for one, words in self._inherited() if one.keyword == keyword and words]
        if found:
            words = tuple(dict.fromkeys(quote(word) for _, words in found for word in words))
            rest = " ".join(words) if keyword == "EXPOSE" else write_exec_form(words)
            self.work.write(found[0][0], write_instruction(keyword, (), rest))

    def _inherited(self) -> Iterator[tuple[Instruction, tuple[str, ...]]]:
        """What the stage to build declares, after those that it begins with."""
        stages = {stage.index: stage for stage in self.evaluation.stages}
        chain: list[int] = []
        index = self.evaluation.stages[-1].index if self.evaluation.stages else None
        while index is not None:
            chain.append(index)
            index = stages[index].base.stage
        for index in reversed(chain):
            yield from self.declared[index]

    def _lower_other(self, instruction: Instruction) -> None:
        if instruction.heredocs:
            message = "`ONBUILD` with a here-document cannot be kept in an image that every builder reads"
            change = "write the commands with `&&` in one line, or copy a script"
            self.work.problems.add(instruction.line, "unsupported", message, change, instruction.keyword)
        self.work.write_as_it_is(instruction)
