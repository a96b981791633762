"""Reads a Dockerfile into instructions: https://docs.docker.com/reference/dockerfile/#format.

Where the reference says nothing, parser/ of BuildKit's Dockerfile frontend is followed to the letter, its oddities too: another
reading would execute something else than the author has tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from buildpacks.dockerfile.arguments import SEPARATORS, WHITE_SPACE, InvalidWord
from buildpacks.dockerfile.errors import Problem, ProblemKind, in_order
from buildpacks.dockerfile.instruction import Directive, Dockerfile, Heredoc, Instruction
from buildpacks.dockerfile.line import Line, parse_heredoc_sign, split_instruction, split_trigger
from buildpacks.dockerfile.syntax import USAGE, check_instruction, check_stages, explain_unknown
from buildpacks.dockerfile.words import expand
from buildpacks.installer.errors import Origin

# No image has so many layers; a file with more is an accident or an attack.
_MOST_INSTRUCTIONS = 100_000
_MOST_PROBLEMS = 1000
# In characters. Linux starts no program with an argument of more than 128 KiB, and a command is one argument of its shell.
_LONGEST_INSTRUCTION = 1_000_000
# bufio.MaxScanTokenSize: BuildKit and buildah read no longer line.
_LONGEST_LINE = 64 * 1024 - 1
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_CONTINUED = {"\\": re.compile(r"(?:(?<=[^\\])|\A)\\[ \t]*\Z"), "`": re.compile(r"(?:(?<=[^`])|\A)`[ \t]*\Z")}
_CONFLICT = re.compile(r"(<<<<<<<|>>>>>>>|\|\|\|\|\|\|\|)(?: |\Z)|(=======)\Z")
_NOT_UTF_8 = re.compile("[\ud800-\udfff]")
_WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})


def parse_dockerfile(content: bytes, *, path: str) -> tuple[Dockerfile, tuple[Problem, ...]]:
    """Return the Dockerfile and everything that is wrong with its syntax, in the order of the lines. Never raises."""
    return _Parser.of(content, path).parse()


@dataclass(slots=True, kw_only=True)
class _Parser:
    path: str
    lines: list[str]
    """Without their line ends, but with carriage returns."""
    is_clean: bool
    """Whether there is nothing in the file that is no text."""
    place: int = 0
    """Index of the next line, so the number of the last one."""
    escape: str = "\\"
    directives: list[Directive] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    blank_lines: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, content: bytes, path: str) -> _Parser:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        is_clean = "\0" not in text and (text.isascii() or not _NOT_UTF_8.search(text))
        return cls(path=path, lines=lines, is_clean=is_clean)

    def parse(self) -> tuple[Dockerfile, tuple[Problem, ...]]:
        if not self._is_something_else():
            self._read_directives()
            while self.place < len(self.lines) and not self._is_too_much():
                self._read_instruction()
            self._check()
        return Dockerfile(
            path=self.path,
            escape=self.escape,
            directives=tuple(self.directives),
            instructions=tuple(self.instructions),
            blank_lines=tuple(self.blank_lines),
        ), in_order(tuple(self.problems))

    def _is_something_else(self) -> bool:
        first = self.lines[0] if self.lines else ""
        if first.startswith(("\udcff\udcfe", "\udcfe\udcff")) or _is_every_other_character_nul(first):
            self._add(1, "encoding", "the file is in UTF-16", "save it as UTF-8")
            return True
        if first.startswith("version https://git-lfs.github.com/spec/"):
            message = "the file is a pointer of Git LFS, not the Dockerfile itself"
            self._add(1, "lfs-pointer", message, "run `git lfs pull` before the build")
            return True
        return False

    def _is_too_much(self) -> bool:
        if len(self.problems) < _MOST_PROBLEMS and len(self.instructions) < _MOST_INSTRUCTIONS:
            return False
        if len(self.instructions) >= _MOST_INSTRUCTIONS:
            message = f"the file has more than {_MOST_INSTRUCTIONS} instructions"
            self._add(self.place, "too-large", message, "put what belongs together into one `RUN`")
        return True

    def _read_directives(self) -> None:
        for number, line in enumerate(self.lines, 1):
            text = line.rstrip("\r").lstrip(WHITE_SPACE)
            match = _DIRECTIVE.match(text[1:].lstrip(WHITE_SPACE)) if text.startswith("#") else None
            if match is None or match[1].lower() not in _DIRECTIVES:
                return
            directive = Directive(name=match[1].lower(), value=match[2], line=number)
            self.place = number
            if any(other.name == directive.name for other in self.directives):
                self._add(number, "directive", f"`# {directive.name}=` is there twice", "keep one of the two lines")
            elif directive.name == "escape" and directive.value not in _CONTINUED:
                message = f"`# escape={directive.value}` is neither a backslash nor a backtick"
                self._add(number, "directive", message, "write `# escape=\\` or `# escape=``, or remove the line")
            elif directive.name == "escape":
                self.escape = directive.value
            self.directives.append(directive)

    def _read_instruction(self) -> None:
        line = self._read_line()
        if line is None:
            return
        if len(line.text) > _LONGEST_INSTRUCTION:
            message = f"the instruction is longer than {_LONGEST_INSTRUCTION} characters, and no shell takes so much"
            self._add(line.number, "too-large", message, "put it into a file")
            return
        instruction = split_instruction(line, escape=self.escape)
        signs = self._heredoc_signs(instruction, line)
        heredocs = self._read_heredocs(instruction, signs)
        self.instructions.append(replace(instruction, end_line=self.place, heredocs=heredocs))

    def _read_line(self) -> Line | None:
        """The next line with its continuation lines, or `None` for a comment or nothing."""
        text = self.lines[self.place].rstrip("\r").lstrip(WHITE_SPACE)
        self.place += 1
        if text == "" or text.startswith("#"):
            return None
        first = self.place
        self._check_text(text)
        parts: list[str] = []
        starts: list[tuple[int, int]] = []
        length = 0
        text, is_continued = self._without_continuation(text)
        while True:
            starts.append((length, self.place))
            parts.append(text)
            length += len(text)
            if not is_continued:
                break
            following = self._next_of_continuation()
            if following is None:
                break
            text, is_continued = self._without_continuation(following)
        starts[0] = (0, first)
        return Line(text="".join(parts), starts=tuple(starts), end=self.place)

    def _next_of_continuation(self) -> str | None:
        """The next line of an instruction that is no comment and not blank; `None` at the end of the file."""
        while self.place < len(self.lines):
            text = self.lines[self.place].rstrip("\r")
            self.place += 1
            stripped = text.lstrip(WHITE_SPACE)
            if stripped.startswith("#"):
                continue
            if stripped:
                self._check_text(text)
                conflict = _CONFLICT.match(text)
                if conflict and conflict[1]:
                    self._add_conflict(self.place, conflict[1])
                return text
            self.blank_lines.append(self.place)
        return None

    def _without_continuation(self, text: str) -> tuple[str, bool]:
        match = _CONTINUED[self.escape].search(text, max(0, len(text.rstrip(" \t")) - 1))
        return (text[: match.start()], True) if match else (text, False)

    def _heredoc_signs(self, instruction: Instruction, line: Line) -> tuple[Heredoc, ...]:
        """The here-documents that the line opens, without their content."""
        if "<<" not in line.text:
            return ()
        inner = instruction
        if instruction.keyword == "ONBUILD":
            inner = split_trigger(instruction, escape=self.escape)
        if inner.keyword not in _WITH_HEREDOCS or inner.words is not None:
            return ()
        try:
            words = expand(line.text, {}, keep_quotes=True, keep_escapes=True, keep_unset=True).words
        except InvalidWord:
            # A shell may know what this is; BuildKit looks no further.
            return ()
        found = (parse_heredoc_sign(word) for word in words)
        return tuple(heredoc for heredoc in found if heredoc is not None)

    def _read_heredocs(self, instruction: Instruction, signs: tuple[Heredoc, ...]) -> tuple[Heredoc, ...]:
        heredocs: list[Heredoc] = []
        for sign in signs:
            first = self.place
            for index in range(first, len(self.lines)):
                text = self.lines[index].rstrip("\r")
                if (text.lstrip("\t") if sign.strips_tabs else text) == sign.name:
                    break
            else:
                self.place = len(self.lines)
                change = f"end it with a line that is `{sign.name}` and nothing else; "
                change += (
                    f'if `<<` is not meant to open one, write it as `"<<"` or leave out what makes `{sign.name}` a word'
                )
                message = f"`<<{sign.name}` opens a here-document that nothing ends"
                self._add(instruction.line, "heredoc", message, change, instruction.keyword)
                return tuple(heredocs)
            self.place = index + 1
            content = "".join(f"{text}\n" for text in self.lines[first:index])
            if not self.is_clean:
                self._check_heredoc(first, index)
            if sign.strips_tabs:
                content = re.sub(r"^\t+", "", content, flags=re.MULTILINE)
            heredocs.append(replace(sign, content=content, line=first + 1))
        return tuple(heredocs)

    def _check_text(self, text: str) -> None:
        """Report what in the line just read is no text."""
        if self.is_clean:
            return
        if _NOT_UTF_8.search(text):
            self._add(self.place, "encoding", "the line holds bytes that are not UTF-8", "save the file as UTF-8")
        if "\0" in text:
            self._add(self.place, "encoding", "the line holds a NUL character", "remove it")

    def _check_heredoc(self, first: int, end: int) -> None:
        place = self.place
        for index in range(first, end):
            self.place = index + 1
            self._check_text(self.lines[index])
        self.place = place

    def _check(self) -> None:
        for number, line in enumerate(self.lines, 1):
            if len(line) * 4 > _LONGEST_LINE and len(line.encode("utf-8", "surrogateescape")) > _LONGEST_LINE:
                message = f"the line is longer than {_LONGEST_LINE} bytes, which no builder reads"
                self._add(number, "too-large", message, "split it")
        previous: Instruction | None = None
        for instruction in self.instructions:
            if len(self.problems) >= _MOST_PROBLEMS:
                return
            if _CONFLICT.match(instruction.keyword):
                self._add_conflict(instruction.line, instruction.keyword)
            elif instruction.keyword not in USAGE:
                self._add_unknown(instruction, previous)
            else:
                self.problems.extend(check_instruction(instruction, path=self.path, escape=self.escape))
            previous = instruction
        self.problems.extend(check_stages(self.instructions, path=self.path))

    def _add_conflict(self, line: int, marker: str) -> None:
        change = "decide for one side, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`"
        self._add(line, "merge-conflict", f"`{marker}` is left of a merge conflict", change, marker)

    def _add_unknown(self, instruction: Instruction, previous: Instruction | None) -> None:
        # As it is written, and what it may be a part of: only comments are between.
        word = SEPARATORS.split(self.lines[instruction.line - 1].strip(WHITE_SPACE))[0]
        written = word if word.upper() == instruction.keyword else instruction.keyword
        if previous is not None:
            between = self.lines[previous.end_line : instruction.line - 1]
            previous = previous if all(line.lstrip(WHITE_SPACE).startswith("#") for line in between) else None
        kind, message, change = explain_unknown(written, previous)
        self._add(instruction.line, kind, message, change, written)

    def _add(self, line: int, kind: ProblemKind, message: str, change: str, instruction: str | None = None) -> None:
        origin = Origin(file=self.path, line=line)
        self.problems.append(Problem(origin=origin, kind=kind, instruction=instruction, message=message, change=change))


def _is_every_other_character_nul(text: str) -> bool:
    return any(len(half) > 1 and not half.strip("\0") for half in (text[::2], text[1::2]))
