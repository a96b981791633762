"""The work on the instructions of one Dockerfile: what is known where one stands, and what has been written so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from buildpacks.dockerfile.arguments import InvalidWord
from buildpacks.dockerfile.evaluate import Evaluation, Problems, Source, Stage
from buildpacks.dockerfile.instruction import Dockerfile, Instruction
from buildpacks.dockerfile.policy import check_policy
from buildpacks.dockerfile.scope import DEFAULT_SHELL, Scope, Value
from buildpacks.dockerfile.writing import LONGEST_LINE, is_common, quote, write_instruction
from lifecycle.cnb.recipe import RecipeImage, RecipeInstruction


@dataclass(slots=True, kw_only=True)
class Work:
    """`stage` and `scope` are those of the instruction that is looked at."""

    escape: str
    """The escape character of the file."""
    build_args: Mapping[str, str]
    image_name: Callable[[RecipeImage], str]
    """What the instructions call an image."""
    stage_names: Mapping[int, str]
    """What they call a stage, by its index in the file."""
    problems: Problems
    scope: Scope = field(default_factory=Scope)
    stage: Stage | None = None
    written: list[RecipeInstruction] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """What here-documents hold that are copied: content by path below `FILES_DIRECTORY`."""
    awaits_images: bool = False
    """Whether something depends on what an image says of itself, which was not told."""

    @classmethod
    def on(
        cls,
        evaluation: Evaluation,
        *,
        path: str,
        escape: str,
        build_args: Mapping[str, str],
        image_name: Callable[[RecipeImage], str],
    ) -> Work:
        """Return the work on the needed stages of the file at `path`."""
        # Stages without a name are counted, and not every stage is left.
        names = {stage.index: stage.name or str(number) for number, stage in enumerate(evaluation.stages)}
        return cls(
            escape=escape,
            build_args=build_args,
            image_name=image_name,
            stage_names=names,
            problems=Problems(path=path),
        )

    def write(self, instruction: Instruction, text: str, *, keyword: str | None = None) -> None:
        """Add an instruction in the place of one of the file."""
        if len(text) * 4 > LONGEST_LINE and any(len(line.encode()) > LONGEST_LINE for line in text.split("\n")):
            message = f"`{instruction.keyword}` is too long for a line, and it cannot be split"
            change = "put what is long into a file of the repository"
            self.problems.add(instruction.line, "too-large", message, change, instruction.keyword)
        shown = " ".join(write_instruction(instruction.keyword, instruction.flags, instruction.rest).split())
        self.written.append(
            RecipeInstruction(
                keyword=keyword or instruction.keyword,
                text=text,
                line=instruction.line,
                shown=None if shown == text or keyword is not None else shown,
            )
        )

    def write_as_it_is(self, instruction: Instruction) -> None:
        """Add an instruction as the file has it."""
        if instruction.rest.endswith("\\"):
            message = f"`{instruction.keyword}` ends in a backslash, which older builders take for one that continues the line"
            change = "put the last word in quotes, or leave the backslash out"
            self.problems.add(instruction.line, "unsupported", message, change, instruction.keyword)
        self.write(instruction, write_instruction(instruction.keyword, instruction.flags, instruction.rest))

    def is_common(self, text: str) -> bool:
        """Whether `text` means the same to every builder as it stands."""
        return is_common(text, escape=self.escape)

    def value_of(self, text: str) -> Value:
        """Return what a word of the file stands for. Raises `InvalidWord`."""
        return self.scope.expand(text, escape=self.escape)

    def text_of(self, value: Value) -> str:
        """Return the text of a value that is written into the recipe. Raises `InvalidWord`."""
        if not value.is_certain:
            self.awaits_images = True
        if "\n" in value.text:
            raise InvalidWord(reason="a variable in it holds a line end, which cannot be written here")
        return value.text

    def is_as_written(self, text: str) -> bool:
        """Whether `text` means the same to every builder, and was what the policy has seen: no variable is in it."""
        return "$" not in text and self.is_common(text)

    def check_values(self, instruction: Instruction) -> None:
        """Add what no policy allows of an instruction whose variables have been put in."""
        whole = Dockerfile(path=self.problems.path, escape="\\", directives=(), instructions=(instruction,))
        for problem in check_policy(whole, "full"):
            line = problem.origin.line or instruction.line
            self.problems.add(line, problem.kind, problem.message, problem.change, problem.instruction)

    def literal(self, value: Value) -> str:
        """Return a word that stands for a value, without variables. Raises `InvalidWord`."""
        return quote(self.text_of(value))

    def shell(self) -> tuple[str, ...]:
        """Return the shell of commands that are text."""
        if self.scope.shell is None:
            self.awaits_images = True
            return DEFAULT_SHELL
        return self.scope.shell

    def source_name(self, source: Source) -> str:
        """Return what `FROM`, `COPY --from` or a mount calls a source."""
        if source.image is not None:
            return self.image_name(source.image)
        return "scratch" if source.stage is None else self.stage_names[source.stage]

    def source_written(self, name: str) -> str:
        """Return what is written for the source that a `COPY --from` or a mount of this stage calls `name`."""
        return self.source_name(self.stage.sources[name] if self.stage is not None else Source())
