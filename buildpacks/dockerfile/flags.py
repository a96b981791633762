"""The flags of instructions: `COPY --from=…`, `RUN --mount=…`. Specification: https://docs.docker.com/reference/dockerfile/."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Literal

from buildpacks.dockerfile.arguments import InvalidWord
from buildpacks.dockerfile.instruction import Flag, Instruction
from buildpacks.dockerfile.mounts import parse_mount
from buildpacks.dockerfile.words import check_word

_Takes = Literal["text", "texts", "switch"]
FLAGS: Mapping[str, Mapping[str, _Takes]] = {
    "ADD": {
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "keep-git-dir": "switch",
        "checksum": "text",
        "unpack": "switch",
        "exclude": "texts",
    },
    "COPY": {
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "from": "text",
        "parents": "switch",
        "exclude": "texts",
    },
    "FROM": {"platform": "text"},
    "HEALTHCHECK": {
        "interval": "text",
        "timeout": "text",
        "start-period": "text",
        "start-interval": "text",
        "retries": "text",
    },
    "RUN": {"mount": "texts", "network": "text", "security": "text", "device": "texts"},
}
# BuildKit takes whatever flags these have, and does nothing with them.
_UNREAD = frozenset({"ARG", "STOPSIGNAL"})
_VALUES = {"network": ("default", "none", "host"), "security": ("sandbox", "insecure")}


def check_flags(instruction: Instruction) -> Iterator[tuple[Flag, str, str]]:
    """Yield what is wrong with flags: the flag, a message, and what to do."""
    keyword = instruction.keyword
    if keyword in _UNREAD or (keyword == "HEALTHCHECK" and instruction.rest.upper() == "NONE"):
        return
    known = FLAGS.get(keyword, {})
    seen: set[str] = set()
    for flag in instruction.flags:
        takes = known.get(flag.name)
        if takes is None:
            yield flag, f"`{keyword}` knows no `--{flag.name}`", _suggest(keyword, flag.name)
        elif takes != "texts" and flag.name in seen:
            yield flag, f"`--{flag.name}` is there twice", "keep one of the two"
        elif takes != "switch" and flag.value is None:
            yield flag, f"`--{flag.name}` has no value", f"write `--{flag.name}=…`, without spaces"
        elif takes == "switch" and (flag.value or "true" if flag.value != "" else "").lower() not in ("true", "false"):
            yield flag, f"`--{flag.name}` cannot be `{flag.value}`", f"write `--{flag.name}` or leave it out"
        elif flag.value is not None:
            yield from _check_value(flag, flag.value)
        seen.add(flag.name)


def _suggest(keyword: str, name: str) -> str:
    known = FLAGS.get(keyword, {})
    near = difflib.get_close_matches(name[:40], known, n=1, cutoff=0.7)
    if near:
        return f"write `--{near[0]}`"
    if known:
        return f"the flags of `{keyword}` are " + ", ".join(f"`--{one}`" for one in known)
    return f"`{keyword}` has no flags: what begins with `--` cannot come first"


def _check_value(flag: Flag, value: str) -> Iterator[tuple[Flag, str, str]]:
    allowed = _VALUES.get(flag.name)
    if allowed and value not in allowed:
        yield flag, f"`--{flag.name}` cannot be `{value}`", "write " + " or ".join(f"`{one}`" for one in allowed)
    elif flag.name == "from" and "$" in value:
        change = (
            f"write `FROM {value} AS name` before it, with its `ARG` before the first `FROM`, and `--from=name` here"
        )
        yield flag, "`--from` takes no variable", change
    elif flag.name == "mount":
        try:
            parse_mount(value)
        except InvalidWord as err:
            yield flag, err.reason, "write it as in `--mount=type=cache,target=/var/cache/apt`"
    else:
        try:
            check_word(value)
        except InvalidWord as err:
            yield flag, f"`--{flag.name}`: {err.reason}", "write it without quotes and braces"
