"""What is wrong with the arguments of instructions, and with their order.

The rules are those of instructions/parse.go of BuildKit's Dockerfile frontend, and of dockerfile2llb/ for what can be known
before variables have values.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from buildpacks.dockerfile.arguments import (
    SEPARATORS,
    InvalidWord,
    Pair,
    split_arguments,
    split_build_args,
    split_from,
    split_pairs,
)
from buildpacks.dockerfile.errors import Problem, ProblemKind
from buildpacks.dockerfile.flags import check_flags
from buildpacks.dockerfile.instruction import Instruction
from buildpacks.dockerfile.line import parse_exec_form, parse_heredoc_sign, split_trigger
from buildpacks.dockerfile.words import check_word, expand
from buildpacks.installer.errors import Origin

# How each instruction is written; the keys are all that there are.
USAGE: Mapping[str, str] = {
    "ADD": "`ADD source… destination`",
    "ARG": "`ARG NAME` or `ARG NAME=value`",
    "CMD": '`CMD ["program", "argument"]`',
    "COPY": "`COPY source… destination`",
    "ENTRYPOINT": '`ENTRYPOINT ["program", "argument"]`',
    "ENV": '`ENV NAME="value"`',
    "EXPOSE": "`EXPOSE 8080` or `EXPOSE 8080/udp`",
    "FROM": "`FROM image` or `FROM image AS name`",
    "HEALTHCHECK": "`HEALTHCHECK CMD command` or `HEALTHCHECK NONE`",
    "LABEL": '`LABEL name="value"`',
    "MAINTAINER": '`LABEL org.opencontainers.image.authors="name"`',
    "ONBUILD": "`ONBUILD RUN command`",
    "RUN": "`RUN command`",
    "SHELL": '`SHELL ["/bin/bash", "-c"]`',
    "STOPSIGNAL": "`STOPSIGNAL SIGTERM`",
    "USER": "`USER name`",
    "VOLUME": '`VOLUME ["/data"]`',
    "WORKDIR": "`WORKDIR /path`",
}
_EXEC_FORM = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})
# https://pkg.go.dev/github.com/moby/sys/signal: the signals of Linux
_SIGNAL = re.compile(
    r"(?:SIG)?(?:ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IOT?|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP"
    r"|TSTP|TTIN|TTOU|URG|USR[12]|VTALRM|WINCH|XCPU|XFSZ|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)|0*[1-9][0-9]*",
    re.IGNORECASE,
)
# https://pkg.go.dev/time#ParseDuration
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"\+?(?:0|(?:{_PART.pattern})+)")
_NOT_A_SPACE = re.compile("[\x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]")
# What stands at the beginning of a line because a backslash is missing on the line before, and looks like an instruction.
_COMMANDS = frozenset({"CD", "CP", "EXPORT", "RM"})


def check_instruction(instruction: Instruction, *, path: str, escape: str) -> Iterator[Problem]:
    """Yield what is wrong with an instruction by itself."""
    keyword = instruction.keyword

    def problem(kind: ProblemKind, message: str, change: str, line: int | None = None) -> Problem:
        origin = Origin(file=path, line=line or instruction.line)
        return Problem(origin=origin, kind=kind, instruction=keyword, message=message, change=change)

    if keyword not in USAGE:
        yield problem(*explain_unknown(keyword, None))
        return
    for flag, message, change in check_flags(instruction):
        yield problem("flag", message, change, flag.line)
    if keyword == "FROM" and "{{" in instruction.rest:
        yield problem("template", "`{{` is of a template that is not filled in", _FILL_IN)
        return
    try:
        _check_arguments(instruction, escape)
    except InvalidWord as err:
        yield problem("arguments", f"`{keyword}` {err.reason}", f"write it as {USAGE[keyword]}")
    if keyword == "ONBUILD" and instruction.rest:
        yield from _check_trigger(instruction, path, escape)


def check_stages(instructions: Sequence[Instruction], *, path: str) -> Iterator[Problem]:
    """Yield what is wrong with the order of the instructions and with the names of stages."""
    first = next((one for one in instructions if one.keyword == "FROM"), None)
    if first is None:
        message = "no `FROM` says which image to start from" if instructions else "the file has no instructions"
        origin = Origin(file=path, line=instructions[0].line if instructions else None)
        change = "begin it with `FROM` and the name of an image, such as `FROM python:3.12`"
        yield Problem(origin=origin, kind="no-from", message=message, change=change)
        return
    for one in instructions:
        if one is first:
            break
        if one.keyword in USAGE and one.keyword != "ARG":
            yield Problem(
                origin=Origin(file=path, line=one.line),
                kind="before-from",
                instruction=one.keyword,
                message=f"`{one.keyword}` stands before the first `FROM`, where only `ARG` can",
                change=f"move it behind line {first.line}",
            )
    names: dict[str, int] = {}
    for one in instructions:
        name = _stage_name(one)
        if name is not None and name in names:
            yield Problem(
                origin=Origin(file=path, line=one.line),
                kind="stage",
                instruction="FROM",
                message=f"a stage is called `{name}` already, at line {names[name]}",
                change="give every stage a name of its own",
            )
        elif name is not None:
            names[name] = one.line


def _stage_name(instruction: Instruction) -> str | None:
    if instruction.keyword != "FROM":
        return None
    try:
        return split_from(instruction.rest).stage
    except InvalidWord:
        return None


_FILL_IN = "commit the Dockerfile that the template gives"


def explain_unknown(keyword: str, previous: Instruction | None) -> tuple[ProblemKind, str, str]:
    """Return kind, message and what to do for what is no instruction; `previous` stands right before it."""
    if keyword.startswith(("{{", "{%", "<%")):
        return "template", f"`{keyword[:2]}` is of a template that is not filled in", _FILL_IN
    if not keyword:
        return "unknown-instruction", "the line continues on a line that is not there", "remove what is at its end"
    space = _NOT_A_SPACE.search(keyword)
    if space:
        message = f"`{keyword[:60]}` holds U+{ord(space[0]):04X}, which looks like a space or like nothing"
        return "unknown-instruction", message, "type it again, with an ordinary space"
    message = f"`{keyword[:60]}` is no instruction"
    near = difflib.get_close_matches(keyword[:20].upper(), USAGE, n=1, cutoff=0.65)
    if near and keyword.upper() not in _COMMANDS:
        return "unknown-instruction", message, f"write `{near[0]}`"
    if previous is not None and not previous.heredocs:
        change = f"if it belongs to `{previous.keyword[:60]}`, end line {previous.end_line} with a backslash"
        return "unknown-instruction", message, change
    return "unknown-instruction", message, "begin every line with an instruction, or a comment with `#`"


def _check_trigger(instruction: Instruction, path: str, escape: str) -> Iterator[Problem]:
    inner = split_trigger(instruction, escape=escape)
    if inner.keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        yield Problem(
            origin=Origin(file=path, line=instruction.line),
            kind="arguments",
            instruction="ONBUILD",
            message=f"`ONBUILD` cannot put off `{inner.keyword}`",
            change="remove the line",
        )
    else:
        yield from check_instruction(inner, path=path, escape=escape)


def _check_arguments(instruction: Instruction, escape: str) -> None:
    rest = instruction.rest
    if instruction.keyword in _EXEC_FORM:
        parse_exec_form(rest)
    match instruction.keyword:
        case "FROM":
            check_word(split_from(rest).image, escape=escape)
        case "ENV" | "LABEL":
            _check_pairs(split_pairs(rest, escape=escape), escape)
        case "ARG":
            _check_pairs(split_build_args(rest, escape=escape), escape)
        case "COPY" | "ADD":
            _check_files(instruction, escape)
        case "EXPOSE":
            _check_ports(rest, escape)
        case "VOLUME":
            _check_volumes(instruction, escape)
        case "STOPSIGNAL":
            _check_signal(rest, escape)
        case "HEALTHCHECK":
            _check_healthcheck(instruction)
        case "RUN" if instruction.words == ():
            raise InvalidWord(reason="has no command")
        case "SHELL" if not instruction.words:
            raise InvalidWord(reason="needs a JSON array with a program in it")
        case "USER" | "WORKDIR":
            _check_text(rest)
            check_word(rest, escape=escape)
        case "MAINTAINER" | "ONBUILD":
            _check_text(rest)
        case _:
            # `CMD` and `ENTRYPOINT` may be empty, which takes back what the base image has; `RUN` too, which does nothing.
            pass


def _check_text(rest: str) -> None:
    if not rest:
        raise InvalidWord(reason="says nothing")


def _check_pairs(pairs: Sequence[Pair], escape: str) -> None:
    for pair in pairs:
        check_word(pair.name, escape=escape)
        check_word(pair.value or "", escape=escape)


def _check_files(instruction: Instruction, escape: str) -> None:
    words = split_arguments(instruction.rest) if instruction.words is None else instruction.words
    if len(words) < 2:
        raise InvalidWord(reason="needs a source and a destination")
    if instruction.words is None and parse_heredoc_sign(words[-1]):
        raise InvalidWord(reason="has a here-document where the destination belongs")
    for word in words:
        check_word(word, escape=escape)


def _check_signal(rest: str, escape: str) -> None:
    _check_text(rest)
    check_word(rest, escape=escape)
    if "$" not in rest and not _SIGNAL.fullmatch(expand(rest, {}, escape=escape).text):
        raise InvalidWord(reason=f"knows no signal `{rest}`")


def _check_volumes(instruction: Instruction, escape: str) -> None:
    words = split_arguments(instruction.rest) if instruction.words is None else instruction.words
    if not words or not all(word.strip() for word in words):
        raise InvalidWord(reason="names no directory")
    for word in words:
        check_word(word, escape=escape)


def _check_ports(rest: str, escape: str) -> None:
    words = split_arguments(rest)
    if not words:
        raise InvalidWord(reason="names no port")
    for word in words:
        check_word(word, escape=escape)
        ports = () if "$" in word else expand(word, {}, escape=escape).words
        wrong = next((port for port in ports if not _is_port(port)), None)
        if wrong is not None:
            raise InvalidWord(reason=f"has `{wrong}`, which is no port")


def _is_port(text: str) -> bool:
    """`[address:][host port:]port[-last port][/protocol]`."""
    *before, port = text.rsplit(":", 2)
    numbers, _, protocol = port.partition("/")
    if protocol.lower() not in ("", "tcp", "udp", "sctp") or not _is_range(numbers):
        return False
    return not before or not before[-1] or _is_range(before[-1])


def _is_range(text: str) -> bool:
    first, dash, last = text.partition("-")
    ends = (first, last) if dash else (first, first)
    if not all(end.isascii() and end.isdigit() and len(end) <= 8 for end in ends):
        return False
    return int(ends[0]) <= int(ends[1]) <= 65535


def _check_healthcheck(instruction: Instruction) -> None:
    kind, *command = SEPARATORS.split(instruction.rest, maxsplit=1)
    if kind.upper() == "NONE":
        if command:
            raise InvalidWord(reason="takes nothing after `NONE`")
        return
    if kind.upper() != "CMD":
        raise InvalidWord(reason=f"has `{kind[:60]}` instead of `CMD`" if kind else "says nothing")
    if not command or parse_exec_form(command[0]) == ():
        raise InvalidWord(reason="has no command after `CMD`")
    for flag in instruction.flags:
        value = flag.value or ""
        if flag.name == "retries":
            if not re.fullmatch(r"\+?[0-9]{1,10}", value) or int(value) >= 2**31:
                raise InvalidWord(reason=f"cannot have `--retries={value}`, which is no number")
        elif not _DURATION.fullmatch(value):
            raise InvalidWord(reason=f"cannot have `--{flag.name}={value}`, which is no time such as `30s`")
        elif 0 < _seconds(value) < 0.001:
            raise InvalidWord(reason=f"cannot have `--{flag.name}={value}`, which is less than a millisecond")


def _seconds(duration: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
