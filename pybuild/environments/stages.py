"""Puts a stage into a Dockerfile that somebody else has written, so that its last stage can take from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# https://docs.docker.com/reference/dockerfile/#escape
_ESCAPE = re.compile(r"(?:#.*\n)*?#\s*escape\s*=\s*(\S)", re.IGNORECASE)
_FROM = re.compile(r"\s*FROM\s", re.IGNORECASE)
# https://docs.docker.com/reference/dockerfile/#here-documents: in these alone
_MAY_HAVE_HEREDOC = re.compile(r"\s*(?:RUN|COPY|ADD|ONBUILD)\s", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<!<)<<(-?)\s*(['\"]?)([A-Za-z_]\w*)\2", re.ASCII)


def insert_stage(dockerfile: str, arguments: Sequence[str], stage: Sequence[str]) -> str:
    """Return the Dockerfile with `stage` before its last stage, and `arguments` for all of its `FROM`s before the first.

    The last stage stays the last one, and the numbers by which it takes from others stay theirs. One without `FROM` stays as it is.
    """
    lines = dockerfile.splitlines()
    found = [number for number, text in _instructions(lines, escape_of(dockerfile)) if _FROM.match(text)]
    if not found:
        return dockerfile
    first, last = found[0], found[-1]
    return "\n".join((*lines[:first], *arguments, *lines[first:last], *stage, *lines[last:]))


def escape_of(dockerfile: str) -> str:
    """Return the character that continues lines and takes the meaning of others away."""
    found = _ESCAPE.match(dockerfile)
    return found[1] if found else "\\"


def _instructions(lines: Sequence[str], escape: str) -> Iterator[tuple[int, str]]:
    """The index of the first line of each instruction, and its text without line ends; what heredocs hold is left out."""
    start, parts = 0, list[str]()
    rest = iter(enumerate(lines))
    for number, line in rest:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if parts else number
        stripped = line.rstrip()
        parts.append(stripped.removesuffix(escape))
        if stripped.endswith(escape):
            continue
        text, parts = "".join(parts), []
        yield start, text
        if _MAY_HAVE_HEREDOC.match(text):
            for dash, _, end in _HEREDOC.findall(text):
                next((one for _, one in rest if (one.lstrip("\t") if dash else one) == end), None)
