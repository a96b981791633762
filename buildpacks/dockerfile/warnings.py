"""What a Dockerfile may do, and should not: warnings with what to do instead. None of them stops a build."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from buildpacks.dockerfile.arguments import (
    InvalidWord,
    is_old_form,
    split_arguments,
    split_build_args,
    split_from,
    split_pairs,
)
from buildpacks.dockerfile.images import SCRATCH, default_platform, parse_platform
from buildpacks.dockerfile.instruction import Dockerfile, Instruction
from buildpacks.dockerfile.mounts import parse_mount
from buildpacks.dockerfile.run_warnings import find_run_warnings
from buildpacks.dockerfile.secret_values import holds_secret, is_secret
from buildpacks.dockerfile.words import expand
from buildpacks.installer.errors import Origin
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.target import Target

_PYTHON = re.compile(r"(?<![a-z])(?:python|py)[-_:]?(?:v?([23])\.([0-9]{1,2})|([23])([0-9]{1,2}))(?![0-9])")
_PYTHON_2 = re.compile(r"(?<![a-z])(?:python|py)[-_:]?2(?![0-9])")
_ONLY_THE_LAST = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something to think about."""

    level: Literal["notice", "warning"]
    origin: Origin
    message: str
    """What is noteworthy, in one line."""
    change: str
    """What to do, in one line."""
    also: tuple[int, ...] = ()
    """Further lines that it is said of."""

    @property
    def text(self) -> str:
        """All of it, in one line."""
        lines = ", ".join(map(str, self.also))
        also = f" (also line{'s' if len(self.also) > 1 else ''} {lines})" if self.also else ""
        return f"{self.origin}: {self.message}{also}: {self.change}"


def find_warnings(
    dockerfile: Dockerfile,
    *,
    target: Target,
    build_args: Mapping[str, str] | None = None,
    has_constraints: bool = False,
) -> tuple[Advice, ...]:
    """Return what is legal in `dockerfile` and hurts, in the order of the lines; each once, with all lines that it is said of.

    `has_constraints`: a constraints file is configured, which `pip install` should have.
    """
    found = _Finder(dockerfile, target, build_args or {}, has_constraints=has_constraints).find()
    first: dict[tuple[str, str], Advice] = {}
    for advice in sorted(found, key=lambda advice: advice.origin.line or 0):
        known = first.setdefault((advice.message, advice.change), advice)
        line = advice.origin.line
        if line is not None and line not in (known.origin.line, *known.also):
            first[advice.message, advice.change] = replace(known, also=(*known.also, line))
    return tuple(first.values())


class _Finder:
    def __init__(
        self, dockerfile: Dockerfile, target: Target, build_args: Mapping[str, str], *, has_constraints: bool
    ) -> None:
        self._dockerfile = dockerfile
        self._target = target
        self._build_args = build_args
        self._has_constraints = has_constraints
        # What `FROM` sees.
        self._global_args: dict[str, str] = {}
        self._stages: set[str] = set()

    def find(self) -> Iterator[Advice]:
        yield from self._of_the_file()
        seen: dict[str, Instruction] = {}
        runs: list[Instruction] = []
        base = ""
        for instruction in self._dockerfile.instructions:
            keyword = instruction.keyword
            if keyword == "FROM":
                yield from self._find_run_warnings(runs, base)
                runs, seen = [], {}
                base = self._image(instruction)
                yield from self._of_from(instruction, base)
            elif keyword == "RUN":
                runs.append(instruction)
                yield from self._of_run(instruction)
            elif keyword in ("ENV", "ARG", "LABEL"):
                yield from self._of_values(instruction, in_stage=bool(base))
            elif keyword in _ONLY_THE_LAST:
                yield from self._of_repeated(instruction, seen.get(keyword))
                seen[keyword] = instruction
            yield from self._of_form(instruction)
        yield from self._find_run_warnings(runs, base)

    def _of_the_file(self) -> Iterator[Advice]:
        for directive in self._dockerfile.directives:
            if directive.name == "syntax":
                message = f"`# syntax={directive.value}` is not followed"
                yield self._advise(directive.line, message, "this builder reads Dockerfiles itself", level="notice")
        for line in self._dockerfile.blank_lines[:10]:
            message = "the line is blank, but the instruction goes on behind it"
            yield self._advise(line, message, "remove it: other builders will refuse it one day")

    def _image(self, instruction: Instruction) -> str:
        """The image that a `FROM` names, as far as it can be known; empty for what cannot."""
        try:
            image = expand(split_from(instruction.rest).image, self._global_args, escape=self._dockerfile.escape).text
        except InvalidWord:
            return ""
        # The tag is a variable that has no value.
        return "" if image.endswith(":") else image

    def _of_from(self, instruction: Instruction, image: str) -> Iterator[Advice]:
        is_stage = image in self._stages or image == SCRATCH or not image
        try:
            stage = split_from(instruction.rest).stage
        except InvalidWord:
            return
        if stage is not None:
            self._stages.add(stage)
        yield from self._of_platform(instruction)
        if is_stage:
            return
        name, tag = _split_image(image)
        if tag is None:
            message = f"`FROM {image}` names no version, so it is another image every few weeks"
            yield self._advise(instruction.line, message, f"name one, as in `{name}:1.2`, or a digest")
        elif tag == "latest":
            message = f"`FROM {image}` is another image every few weeks"
            yield self._advise(instruction.line, message, "name a version instead of `latest`, or a digest")
        version = _old_python(name, tag or "")
        if version is not None:
            message = f"`FROM {image}` has Python {version}, for which nobody mends faults any more"
            yield self._advise(instruction.line, message, "choose one with Python 3.10 or later")

    def _of_platform(self, instruction: Instruction) -> Iterator[Advice]:
        for flag in instruction.flags:
            if flag.name != "platform" or not flag.value or "$" in flag.value:
                continue
            try:
                platform = parse_platform(flag.value, self._target)
            except InvalidValue:
                continue
            if platform not in (None, default_platform(self._target)):
                message = f"`--platform={flag.value}` is not the platform that is built for"
                yield self._advise(flag.line, message, "leave it out: programs of another platform do not run")

    def _of_run(self, instruction: Instruction) -> Iterator[Advice]:
        if not instruction.rest and not instruction.heredocs:
            yield self._advise(instruction.line, "`RUN` has no command", "remove it", level="notice")
        if holds_secret(instruction.rest) or any(holds_secret(heredoc.content) for heredoc in instruction.heredocs):
            message = "`RUN` holds what looks like a token or a password, which stays in the image's history"
            change = "revoke it, and fetch what needs it before the build"
            yield self._advise(instruction.line, message, change)
        for flag in instruction.flags:
            if flag.name == "mount" and _is_secret_mount(flag.value):
                message = "`--mount=type=secret`: a build has no secrets, so the file will not be there"
                yield self._advise(flag.line, message, "fetch what needs it before the build")

    def _of_values(self, instruction: Instruction, *, in_stage: bool) -> Iterator[Advice]:
        keyword, escape = instruction.keyword, self._dockerfile.escape
        split = split_build_args if keyword == "ARG" else split_pairs
        try:
            pairs = split(instruction.rest, escape=escape)
        except InvalidWord:
            return
        for pair in pairs:
            if is_secret("" if keyword == "LABEL" else pair.name, pair.value):
                where = "history" if keyword == "ARG" else "configuration"
                message = (
                    f"`{keyword} {pair.name}` looks like a secret, which everybody can read in the image's {where}"
                )
                yield self._advise(instruction.line, message, "give it to the container when it starts")
            if keyword == "ARG" and not in_stage:
                value = self._build_args.get(pair.name)
                self._global_args[pair.name] = self._expand(pair.value or "") if value is None else value
        if keyword != "ARG" and is_old_form(instruction.rest, escape=escape):
            change = f'write `{keyword} NAME="value"`'
            message = f"`{keyword}` without `=` is the old form, in which all that follows the name is the value"
            yield self._advise(instruction.line, message, change, level="notice")

    def _expand(self, text: str) -> str:
        try:
            return expand(text, self._global_args, escape=self._dockerfile.escape).text
        except InvalidWord:
            return ""

    def _of_repeated(self, instruction: Instruction, earlier: Instruction | None) -> Iterator[Advice]:
        if earlier is not None:
            message = f"`{earlier.keyword}` has no effect, because line {instruction.line} has another"
            yield self._advise(earlier.line, message, "remove one of the two")

    def _of_form(self, instruction: Instruction) -> Iterator[Advice]:
        keyword, rest = instruction.keyword, instruction.rest
        if keyword == "MAINTAINER":
            change = 'write `LABEL org.opencontainers.image.authors="…"`'
            yield self._advise(instruction.line, "`MAINTAINER` is deprecated", change, level="notice")
        if keyword == "EXPOSE" and any(":" in port.replace("::", "") for port in split_arguments(rest)):
            message = "`EXPOSE` takes a port of the container only; the rest has no effect"
            yield self._advise(instruction.line, message, "write the number behind the last colon")
        if keyword in ("CMD", "ENTRYPOINT", "RUN") and instruction.words is None and _is_like_exec_form(rest):
            message = f"`{keyword} {rest[:40]}` looks like a JSON array and is none, so a shell gets the brackets"
            yield self._advise(instruction.line, message, "put every argument in double quotes")

    def _find_run_warnings(self, runs: list[Instruction], base: str) -> Iterator[Advice]:
        for line, message, change in find_run_warnings(runs, base=base, has_constraints=self._has_constraints):
            yield self._advise(line, message, change)

    def _advise(
        self, line: int, message: str, change: str, *, level: Literal["notice", "warning"] = "warning"
    ) -> Advice:
        origin = Origin(file=self._dockerfile.path, line=line)
        return Advice(level=level, origin=origin, message=message, change=change)


def _split_image(image: str) -> tuple[str, str | None]:
    """Name and version of an image: its tag, or its digest."""
    name, at, digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    return head, (digest if at else tag) or None


def _old_python(name: str, tag: str) -> str | None:
    """The version of Python that an image says to have, where that is below 3.10."""
    text = f"{name.rpartition('/')[2]}:{tag}".lower()
    match = _PYTHON.search(text)
    if match is None:
        return "2" if _PYTHON_2.search(text) else None
    major, minor = int(match[1] or match[3]), int(match[2] or match[4])
    return f"{major}.{minor}" if (major, minor) < (3, 10) else None


def _is_secret_mount(value: str | None) -> bool:
    try:
        return parse_mount(value or "").type == "secret"
    except InvalidWord:
        return False


def _is_like_exec_form(rest: str) -> bool:
    """Whether somebody wrote `['a', 'b']` for `["a", "b"]`; `[ -f x ] && y` is a test of the shell."""
    return re.match(r"\[\s*['\"“‘]", rest) is not None and rest.endswith("]")
