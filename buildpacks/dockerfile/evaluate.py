"""What a Dockerfile is made of: its stages, which of them are needed, and the images that they take from elsewhere.

Nothing is executed, and no image is asked. Scopes of variables: https://docs.docker.com/reference/dockerfile/#scope; where the
reference says nothing, dockerfile2llb/convert.go of BuildKit's Dockerfile frontend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from buildpacks.dockerfile.arguments import InvalidWord, split_build_args, split_from
from buildpacks.dockerfile.errors import Problem, ProblemKind
from buildpacks.dockerfile.images import SCRATCH, default_platform, make_image, parse_platform
from buildpacks.dockerfile.instruction import Dockerfile, Flag, Instruction
from buildpacks.dockerfile.mounts import parse_mount
from buildpacks.dockerfile.scope import Scope, Value
from buildpacks.installer.errors import Origin
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.recipe import RecipeImage
from lifecycle.cnb.target import Target, host_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a stage begins with or takes files from: another stage, an image, or, where both are `None`, nothing."""

    stage: int | None = None
    """Index in the file, from 0."""
    image: RecipeImage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of the file."""

    index: int
    name: str | None
    """In small letters."""
    origin: Instruction
    """Its `FROM`."""
    base: Source
    instructions: tuple[Instruction, ...]
    sources: Mapping[str, Source]
    """What `COPY --from` and `RUN --mount=from=` name, by what they write."""

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """Everything that it needs."""
        return (self.base, *self.sources.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A Dockerfile whose stages are known."""

    stages: tuple[Stage, ...]
    """Those that are needed, in the order of the file, so the one to build comes last."""
    images: tuple[RecipeImage, ...]
    """Those that the needed stages use: each once, in the order of their first use."""
    head: tuple[Instruction, ...]
    """What stands before the first stage: `ARG`."""
    global_args: Mapping[str, str]
    """The build arguments that `FROM` sees, and `ARG` without a default in a stage."""
    stage_names: tuple[str, ...]
    """Of the whole file."""


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collects what is wrong with a file."""

    path: str
    _found: dict[Problem, None] = field(default_factory=dict)

    @property
    def found(self) -> tuple[Problem, ...]:
        """All of them, in the order in which they were added."""
        return tuple(self._found)

    def add(self, line: int, kind: ProblemKind, message: str, change: str, instruction: str | None = None) -> None:
        """Add a problem; the same is not told twice."""
        origin = Origin(file=self.path, line=line)
        self._found[Problem(origin=origin, kind=kind, instruction=instruction, message=message, change=change)] = None


def evaluate(
    dockerfile: Dockerfile, *, build_args: Mapping[str, str], target: Target, stage_name: str | None = None
) -> tuple[Evaluation, tuple[Problem, ...]]:
    """Return what the file is made of and what is wrong with that; `stage_name` is the stage to build, `None` the last.

    The file must be without mistakes of syntax. A stage that does not exist makes an evaluation without stages.
    """
    return _Evaluator(dockerfile, build_args, target).run(stage_name)


def platform_args(target: Target) -> dict[str, str]:
    """Return the variables that every `FROM` has (https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope)."""
    here = Target(os="linux", arch=host_architecture())
    sides = {"BUILD": here if target.is_foreign else target, "TARGET": target}
    found: dict[str, str] = {}
    for side, one in sides.items():
        system, architecture, variant = one.os or "linux", one.arch or "amd64", one.variant or ""
        platform = "/".join(part for part in (system, architecture, variant) if part)
        values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
        found |= {f"{side}{name}": value for name, value in values.items()}
    return found


class _Evaluator:
    def __init__(self, dockerfile: Dockerfile, build_args: Mapping[str, str], target: Target) -> None:
        self.dockerfile = dockerfile
        self.build_args = build_args
        self.target = target
        self.problems = Problems(path=dockerfile.path)
        self.globals = Scope(variables=platform_args(target))
        self.starts = [index for index, one in enumerate(dockerfile.instructions) if one.keyword == "FROM"]
        self.all_names = {
            name: index
            for index, start in enumerate(self.starts)
            if (name := split_from(dockerfile.instructions[start].rest).stage)
        }
        # Those above the stage that is looked at.
        self.names: dict[str, int] = {}

    def run(self, stage_name: str | None) -> tuple[Evaluation, tuple[Problem, ...]]:
        instructions = self.dockerfile.instructions
        ends = [*self.starts[1:], len(instructions)]
        head = instructions[: self.starts[0]] if self.starts else instructions
        self._evaluate_head(head)
        stages = [
            self._make_stage(index, instructions[start], instructions[start + 1 : end])
            for index, (start, end) in enumerate(zip(self.starts, ends, strict=True))
        ]
        needed = _needed_stages(stages, self._wanted(stages, stage_name))
        self._check_runs(needed, stages)
        images: dict[str, RecipeImage] = {}
        for stage in needed:
            for source in stage.all_sources:
                if source.image is not None:
                    images.setdefault(source.image.local, source.image)
        return Evaluation(
            stages=needed,
            images=tuple(images.values()),
            head=tuple(head),
            global_args=self.globals.variables,
            stage_names=tuple(self.all_names),
        ), self.problems.found

    def _evaluate_head(self, head: Sequence[Instruction]) -> None:
        for name in self.globals.variables.keys() & self.build_args.keys():
            self._set_global(name, self.build_args[name])
        for instruction in head:
            try:
                for pair in split_build_args(instruction.rest, escape=self.dockerfile.escape):
                    if pair.name in self.build_args:
                        self._set_global(pair.name, self.build_args[pair.name])
                    elif pair.value is not None:
                        value = self.globals.expand(pair.value, escape=self.dockerfile.escape)
                        self.globals.set(pair.name, value, is_argument=True)
            except InvalidWord as err:
                self._report_word(instruction, err)

    def _set_global(self, name: str, value: str) -> None:
        self.globals.set(name, Value.of(value), is_argument=True)

    def _make_stage(self, index: int, origin: Instruction, instructions: tuple[Instruction, ...]) -> Stage:
        name = split_from(origin.rest).stage
        base = self._base(origin)
        sources = {written: self._source(index, written, flag, one) for one, flag, written in _uses(instructions)}
        if name is not None:
            self.names[name] = index
        return Stage(index=index, name=name, origin=origin, base=base, instructions=instructions, sources=sources)

    def _base(self, origin: Instruction) -> Source:
        written = split_from(origin.rest).image
        value = self._expand(origin, written)
        if value is None:
            return Source()
        text = value.text
        if text in self.names:
            return Source(stage=self.names[text])
        if text == SCRATCH:
            return Source()
        unset = sorted(value.unset)
        if not text or unset:
            self._report_unset(origin, written, text, unset)
        if not text:
            return Source()
        platform = self._platform(origin)
        try:
            return Source(image=make_image(text, line=origin.line, platform=platform))
        except InvalidValue as err:
            if unset:
                return Source()
            change = "name an image as `name:tag`"
            if text.lower() in self.names:
                change = f"stages are named in small letters: write `FROM {text.lower()}`"
            self.problems.add(origin.line, "arguments", f"`FROM {written}`: {err}", change, "FROM")
            return Source()

    def _report_unset(self, origin: Instruction, written: str, text: str, unset: Sequence[str]) -> None:
        """A name that lacks a part because a variable is not set; where it is complete without, that may be meant."""
        if text and _is_reference(text):
            return
        if not unset:
            message, change = f"`FROM {written}` names no image: what it stands for is empty", "give it a value"
            self.problems.add(origin.line, "word", message, change, "FROM")
            return
        name = unset[0]
        message = f"`FROM {written}` names no image: `{name}` is not set"
        # `FROM` sees no other `ARG`, and no `ENV`.
        change = f"write `ARG {name}=…` before the first `FROM`, or set it with `--build-arg {name}=…`"
        self.problems.add(origin.line, "word", message, change, "FROM")

    def _platform(self, origin: Instruction) -> str | None:
        flag = next((flag for flag in origin.flags if flag.name == "platform" and flag.value), None)
        if flag is None or flag.value is None:
            return default_platform(self.target)
        value = self._expand(origin, flag.value)
        if value is None:
            return None
        try:
            return parse_platform(value.text, self.target)
        except InvalidValue as err:
            message = f"`--platform={flag.value}`: {err if value.text else 'what it stands for is empty'}"
            self.problems.add(flag.line, "arguments", message, err.advice or "leave it out", "FROM")
            return None

    def _source(self, index: int, written: str, flag: Flag, instruction: Instruction) -> Source:
        keyword, line = instruction.keyword, flag.line
        shown = f"`{keyword} --from={written}`" if flag.name == "from" else f"`{keyword} --mount=from={written}`"
        number = self.all_names.get(written.lower())
        if number is None and flag.name == "from" and written.isascii() and written.isdigit():
            number = int(written) if len(written) < 9 else len(self.dockerfile.instructions)
        if number is not None:
            return self._stage_source(index, number, shown, flag, keyword)
        if written == SCRATCH:
            return Source()
        try:
            return Source(image=make_image(written, line=line, platform=default_platform(self.target)))
        except InvalidValue as err:
            self.problems.add(line, "arguments", f"{shown}: {err}", "name a stage above, or an image", keyword)
            return Source()

    def _stage_source(self, index: int, number: int, shown: str, flag: Flag, keyword: str) -> Source:
        if number < index:
            return Source(stage=number)
        if number == index:
            message, change = f"{shown} names the stage that it is in", "name a stage above, or an image"
        elif number < len(self.starts):
            message = f"{shown} names a stage that comes later"
            change = "move that stage up: a stage sees only those before it"
        else:
            message = f"{shown} names a stage that there is not: they are counted from 0"
            change = "give the stage a name (`FROM … AS name`), and use that"
        self.problems.add(flag.line, "stage", message, change, keyword)
        return Source()

    def _check_runs(self, needed: Sequence[Stage], stages: Sequence[Stage]) -> None:
        """Nothing of another architecture is executed; stages on images of this machine's are as good as ever."""
        if not self.target.is_foreign:
            return
        for stage in needed:
            base = stage
            while base.base.stage is not None:
                base = stages[base.base.stage]
            if base.base.image is not None and base.base.image.platform is None:
                continue
            for one in stage.instructions:
                if one.keyword == "RUN":
                    message = f"`RUN` would run programs of {self.target.platform}, which this machine cannot"
                    change = (
                        f"build on a {self.target.platform} machine; or run it in a stage `FROM --platform=$BUILDPLATFORM …`, "
                        "and copy what it makes"
                    )
                    self.problems.add(one.line, "unsupported", message, change, "RUN")

    def _wanted(self, stages: Sequence[Stage], stage_name: str | None) -> int | None:
        if stage_name is not None:
            return self.all_names.get(stage_name.lower())
        return len(stages) - 1 if stages else None

    def _expand(self, instruction: Instruction, word: str) -> Value | None:
        try:
            return self.globals.expand(word, escape=self.dockerfile.escape)
        except InvalidWord as err:
            self._report_word(instruction, err)
            return None

    def _report_word(self, instruction: Instruction, err: InvalidWord) -> None:
        message = f"`{instruction.keyword} {instruction.rest[:80]}`: {err.reason}"
        self.problems.add(instruction.line, "word", message, "correct the variable", instruction.keyword)


def _is_reference(text: str) -> bool:
    try:
        make_image(text, line=0)
    except InvalidValue:
        return False
    return True


def _uses(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, Flag, str]]:
    """What instructions take from elsewhere: the flag that says so, and the name in it."""
    for instruction in instructions:
        for flag in instruction.flags:
            if instruction.keyword == "COPY" and flag.name == "from" and flag.value:
                yield instruction, flag, flag.value
            elif instruction.keyword == "RUN" and flag.name == "mount":
                source = parse_mount(flag.value or "").option("from")
                if source:
                    yield instruction, flag, source


def _needed_stages(stages: Sequence[Stage], wanted: int | None) -> tuple[Stage, ...]:
    """The wanted stage and all that it is made from."""
    waiting = [] if wanted is None else [wanted]
    needed: set[int] = set()
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            waiting.extend(source.stage for source in stages[index].all_sources if source.stage is not None)
    return tuple(stages[index] for index in sorted(needed))
