"""Variables in the words of a Dockerfile: putting in what they hold.

Specification: https://docs.docker.com/reference/dockerfile/#environment-replacement; where it says nothing, shell/lex.go of
BuildKit's Dockerfile frontend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from buildpacks.dockerfile.arguments import InvalidWord, Words
from buildpacks.dockerfile.patterns import InvalidPattern, remove_prefix, remove_suffix, replace

# https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_05_02
_SPECIAL_PARAMETERS = "@*#?-$!0"
# `${a:-${b:-…}}`: nobody nests deeper, and Python could not follow.
_DEEPEST = 50


class RequiredVariable(InvalidWord):
    """`${name:?message}` of a variable that is not set, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A text with the values of its variables."""

    text: str
    words: tuple[str, ...]
    """The text, split at white space that was not quoted; no word is empty."""
    used: frozenset[str]
    """The variables in it that are set."""
    unset: frozenset[str]
    """The variables in it that are not."""


def expand(
    text: str,
    variables: Mapping[str, str],
    *,
    escape: str = "\\",
    process_quotes: bool = True,
    keep_quotes: bool = False,
    keep_escapes: bool = False,
    keep_unset: bool = False,
) -> Expansion:
    """Return `text` with `variables` put in, and without quotes and escape characters. Raises `InvalidWord`.

    `process_quotes` false takes quotes for ordinary characters, as in here-documents; `keep_…` leave something as it is written.
    """
    lexer = _Lexer(
        text=text.removeprefix("\ufeff"),
        variables=variables,
        escape=escape,
        process_quotes=process_quotes,
        keep_quotes=keep_quotes,
        keep_escapes=keep_escapes,
        keep_unset=keep_unset,
    )
    result, words = lexer.read()
    return Expansion(text=result, words=tuple(words), used=frozenset(lexer.used), unset=frozenset(lexer.unset))


def check_word(text: str, *, escape: str = "\\") -> None:
    """Raise `InvalidWord` for what no values of the variables would mend."""
    try:
        expand(text, {}, escape=escape)
    except RequiredVariable:
        return


@dataclass(slots=True, kw_only=True)
class _Lexer:
    """Reads a text once, from its beginning to its end."""

    text: str
    variables: Mapping[str, str]
    escape: str
    process_quotes: bool
    keep_quotes: bool
    keep_escapes: bool
    keep_unset: bool
    place: int = 0
    depth: int = 0
    used: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)

    def read(self, *, until: str = "", keep_escapes: bool | None = None) -> tuple[str, list[str]]:
        """Read up to `until`, which is passed over, or to the end of the text."""
        before, self.keep_escapes = self.keep_escapes, self.keep_escapes if keep_escapes is None else keep_escapes
        result: list[str] = []
        words = Words()
        ordinary = re.compile(rf"[^$<'\"{re.escape(self.escape + until)}]+")
        while self.place < len(self.text):
            run = ordinary.match(self.text, self.place)
            if run:
                self.place = run.end()
                words.add_split(run[0])
                result.append(run[0])
                continue
            character = self.text[self.place]
            if character == until:
                self.place += 1
                self.keep_escapes = before
                return "".join(result), words.end()
            if character == "$":
                part = self._read_variable()
                words.add_split(part)
            elif character == self.escape:
                part = self._read_escaped()
                words.add(part)
            elif character == "<":
                part = self._read_heredoc_sign()
                words.add(part)
            elif self.process_quotes:
                part = self._read_single_quoted() if character == "'" else self._read_double_quoted()
                words.add(part)
            else:
                part = character
                self.place += 1
                words.add(part)
            result.append(part)
        if until:
            raise InvalidWord(reason=f"`{until}` is missing after `${{`")
        return "".join(result), words.end()

    def _read_escaped(self) -> str:
        part = self.text[self.place : self.place + 2]
        self.place += 2
        return part if self.keep_escapes else part[1:]

    def _read_heredoc_sign(self) -> str:
        """`<`, or `<<` with white space behind it: that and what follows are one word."""
        start, end = self.place, self.place + 1
        if self.text.startswith("<", end):
            end += 1
            while self.text[end : end + 1] in ("\t", "\r", " "):
                end += 1
        self.place = end
        return self.text[start:end]

    def _read_single_quoted(self) -> str:
        end = self.text.find("'", self.place + 1)
        if end < 0:
            raise InvalidWord(reason="a single quote is not closed")
        quoted = self.text[self.place : end + 1]
        self.place = end + 1
        return quoted if self.keep_quotes else quoted[1:-1]

    def _read_double_quoted(self) -> str:
        quote = '"' if self.keep_quotes else ""
        result = [quote]
        ordinary = re.compile(rf'[^$"{re.escape(self.escape)}]+')
        self.place += 1
        while self.place < len(self.text):
            run = ordinary.match(self.text, self.place)
            character = self.text[self.place]
            if run:
                self.place = run.end()
                result.append(run[0])
            elif character == '"':
                self.place += 1
                return "".join((*result, quote))
            elif character == "$":
                result.append(self._read_variable())
            else:
                result.append(self._read_escaped_in_quotes())
        raise InvalidWord(reason="a double quote is not closed")

    def _read_escaped_in_quotes(self) -> str:
        self.place += 1
        kept = self.escape if self.keep_escapes else ""
        following = self.text[self.place : self.place + 1]
        if following in ('"', "$", self.escape):
            self.place += 1
            return kept + following
        return kept if not following else kept + self.escape

    def _read_variable(self) -> str:
        self.place += 1
        if not self.text.startswith("{", self.place):
            name = self._read_name()
            if not name:
                return "$"
            value = self._value(name)
            return f"${name}" if value is None and self.keep_unset else value or ""
        self.place += 1
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InvalidWord(reason=f"`${{` stands in itself more than {_DEEPEST} times")
        value = self._read_braces()
        self.depth -= 1
        return value

    def _read_braces(self) -> str:
        if self.text[self.place : self.place + 1] in ("{", "}", ":"):
            raise InvalidWord(reason=f"`${{{self.text[self.place]}` names no variable")
        name = self._read_name()
        sign = self._next()
        colon = ""
        if sign == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self.keep_unset else value or ""
        if sign == "/":
            return self._replace(name)
        if sign == ":":
            colon, sign = ":", self._next()
        if not sign:
            raise InvalidWord(reason=f"`${{{name}{colon}` is not closed with `}}`")
        if not colon and sign not in "+-?#%":
            raise InvalidWord(reason=f"`${{{name}{sign}…}}` is no form of a variable")
        if colon and sign in "#%":
            raise InvalidWord(reason=f"`${{{name}{colon}{sign}…}}` is no form of a variable")
        word, _ = self.read(until="}", keep_escapes=sign in "#%")
        value = self._value(name)
        if value is None and self.keep_unset:
            return f"${{{name}{colon}{sign}{word}}}"
        return self._apply(name, colon, sign, word, value)

    def _apply(self, name: str, colon: str, sign: str, word: str, value: str | None) -> str:
        is_absent = value is None or (colon != "" and value == "")
        if sign == "-":
            return word if is_absent else value or ""
        if sign == "+":
            return "" if is_absent else word
        if sign == "?":
            if is_absent:
                default = "must be set" if value is None else "must not be empty"
                raise RequiredVariable(reason=f"`{name}`: {word or default}")
            return value or ""
        if sign not in "#%":
            raise InvalidWord(reason=f"`${{{name}{colon}{sign}…}}` is no form of a variable")
        longest = word.startswith(sign)
        remove = remove_prefix if sign == "#" else remove_suffix
        try:
            return remove(value or "", word.removeprefix(sign), longest=longest)
        except InvalidPattern as err:
            raise InvalidWord(reason=f"`{word}` is no pattern: a backslash before `{err}`") from err

    def _replace(self, name: str) -> str:
        everywhere = self.text.startswith("/", self.place)
        self.place += everywhere
        pattern, _ = self.read(until="/", keep_escapes=True)
        replacement, _ = self.read(until="}", keep_escapes=True)
        value = self._value(name)
        if value is None and self.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            return replace(value or "", pattern, replacement, everywhere=everywhere)
        except InvalidPattern as err:
            raise InvalidWord(reason=f"`{pattern}` is no pattern: a backslash before `{err}`") from err

    def _next(self) -> str:
        character = self.text[self.place : self.place + 1]
        self.place += 1
        return character

    def _read_name(self) -> str:
        """A name, a number, or one of the special parameters, which are never set; may be empty."""
        start = self.place
        first = self.text[start : start + 1]
        if first.isdecimal():
            while self.text[self.place : self.place + 1].isdecimal():
                self.place += 1
        elif first and first in _SPECIAL_PARAMETERS:
            self.place += 1
        else:
            while self.place < len(self.text) and _is_in_name(self.text[self.place]):
                self.place += 1
        return self.text[start : self.place]

    def _value(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.unset if value is None else self.used).add(name)
        return value


def _is_in_name(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()
