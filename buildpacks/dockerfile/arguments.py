"""The arguments of instructions, split as each of them asks for; variables stay as they are written.

Specification: https://docs.docker.com/reference/dockerfile/; where it says nothing, parser/line_parsers.go of BuildKit's Dockerfile
frontend.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lifecycle.cnb.kit import BuildpackError

# White space as Go's `unicode.IsSpace` has it; Python's counts four control characters more.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
# What separates arguments, by BuildKit's `reWhitespace`.
SEPARATORS = re.compile(r"[\t\v\f\r ]+")


@dataclass(eq=False, kw_only=True)
class InvalidWord(BuildpackError):
    """Quotes or variables of a word cannot be understood."""

    reason: str

    @property
    def summary(self) -> str:
        """What is wrong with the word."""
        return self.reason


@dataclass(slots=True, kw_only=True)
class Words:
    """Collects words."""

    found: list[str] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Add text that is part of a word, its white space too."""
        if text:
            self._parts.append(text)

    def add_split(self, text: str) -> None:
        """Add text whose white space ends words."""
        for number, part in enumerate(_WHITE.split(text)):
            if number:
                self.end()
            self.add(part)

    def end(self) -> list[str]:
        """End the word, and return those that there are."""
        if self._parts:
            self.found.append("".join(self._parts))
            self._parts.clear()
        return self.found


_WHITE = re.compile(f"[{WHITE_SPACE}]+")


def split_arguments(rest: str) -> tuple[str, ...]:
    """Return the arguments of an instruction that knows no quotes: `COPY`, `FROM`, `EXPOSE`, `VOLUME`."""
    return tuple(SEPARATORS.split(rest)) if rest else ()


def split_words(rest: str, *, escape: str = "\\") -> tuple[str, ...]:
    """Return the words of `ARG`, `ENV name=value` and `LABEL name=value`; quotes and escape characters are still in them."""
    words = Words()
    ordinary = re.compile(rf"[^'\"{re.escape(escape)}{WHITE_SPACE}]+")
    place = 0
    while place < len(rest):
        character = rest[place]
        run = ordinary.match(rest, place)
        if run:
            end = run.end()
            words.add(run[0])
        elif character == "'":
            end = rest.find("'", place + 1) + 1 or len(rest)
            words.add(rest[place:end])
        elif character == '"':
            end = _end_of_double_quoted(rest, place, escape)
            words.add(rest[place:end] if end <= len(rest) else rest[place:-1])
        elif character == escape:
            end = place + 2
            words.add(rest[place:end] if end <= len(rest) else "")
        else:
            end = place + 1
            words.end()
        place = end
    return tuple(words.end())


def _end_of_double_quoted(text: str, place: int, escape: str) -> int:
    """Where the quotes that begin at `place` end; without an end, that of the text, or behind it: the last character escapes nothing."""
    ordinary = re.compile(rf'[^"{re.escape(escape)}]+')
    place += 1
    while place < len(text):
        run = ordinary.match(text, place)
        if run:
            place = run.end()
        elif text[place] == '"':
            return place + 1
        else:
            place += 2
    return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`name=value` of `ENV`, `LABEL` or `ARG`, as written; `value` is `None` for `ARG name`."""

    name: str
    value: str | None


def split_pairs(rest: str, *, escape: str = "\\") -> tuple[Pair, ...]:
    """Return the pairs of `ENV` or `LABEL`, also of the old form `ENV name value`. Raises `InvalidWord`."""
    words = split_words(rest, escape=escape)
    if not words:
        raise InvalidWord(reason="names nothing")
    if "=" not in words[0]:
        name, *value = SEPARATORS.split(rest, maxsplit=1)
        if not value:
            raise InvalidWord(reason=f"gives `{name}` no value")
        return (Pair(name=name, value=value[0]),)
    wrong = next((word for word in words if "=" not in word), None)
    if wrong is not None:
        raise InvalidWord(reason=f"has `{wrong}` without `=`")
    pairs = tuple(_pair(word) for word in words)
    if not all(pair.name for pair in pairs):
        raise InvalidWord(reason="has a value without a name")
    return pairs


def is_old_form(rest: str, *, escape: str = "\\") -> bool:
    """Whether `ENV` or `LABEL` has one value for one name, without `=`, and up to the end of the line."""
    words = split_words(rest, escape=escape)
    return bool(words) and "=" not in words[0]


def split_build_args(rest: str, *, escape: str = "\\") -> tuple[Pair, ...]:
    """Return the pairs of `ARG`. Raises `InvalidWord`."""
    words = split_words(rest, escape=escape)
    if not words:
        raise InvalidWord(reason="names nothing")
    pairs = tuple(_pair(word) if "=" in word else Pair(name=word, value=None) for word in words)
    if not all(pair.name for pair in pairs):
        raise InvalidWord(reason="has a value without a name")
    return pairs


def _pair(word: str) -> Pair:
    name, _, value = word.partition("=")
    return Pair(name=name, value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """The arguments of `FROM`; the flag `--platform` is not among them."""

    image: str
    """As written: an image or a stage, variables included."""
    stage: str | None
    """The name that the stage gets, in small letters."""


def split_from(rest: str) -> From:
    """Return the arguments of `FROM`. Raises `InvalidWord`."""
    words = split_arguments(rest)
    if len(words) == 1:
        return From(image=words[0], stage=None)
    if not words:
        raise InvalidWord(reason="names no image")
    if len(words) != 3 or words[1].lower() != "as":
        raise InvalidWord(reason="has more than the name of an image, and `AS` with the name of a stage")
    stage = words[2].lower()
    if not _STAGE.fullmatch(stage):
        raise InvalidWord(
            reason=f"cannot call a stage `{words[2]}`: names begin with a letter, and have letters, digits, `-`, `_` and `.`"
        )
    return From(image=words[0], stage=stage)


_STAGE = re.compile(r"[a-z][a-z0-9._-]*")
