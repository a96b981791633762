"""The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*` and `?`, neither of them over a line end.

Time grows with text times pattern and not worse, whoever wrote them. Specification: shell/lex.go of BuildKit's Dockerfile frontend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class InvalidPattern(Exception):
    """A backslash before a character that needs none; the argument is that character."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as an automaton: bit i of a state says that the first i characters of the pattern were met."""

    matches: dict[str, int]
    """For each character of the pattern, the states that it leads on from."""
    any_matches: int
    """The states that every character but a line end leads on from: `?`."""
    loops: int
    """The states in which every character but a line end may be passed over: `*`."""
    final: int

    def step(self, states: int, character: str) -> int:
        """Return the states after `character`."""
        on_from = self.matches.get(character, 0)
        if character == "\n":
            return (states & on_from) << 1
        return ((states & (on_from | self.any_matches)) << 1) | (states & self.loops)

    def ends(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Return the shortest and the longest match that begins at `start`, by their ends."""
        states, first, last = 1, None, None
        for place in range(start, len(text) + 1):
            if states & self.final:
                first, last = place if first is None else first, place
            if not states or place == len(text):
                break
            states = self.step(states, text[place])
        return None if first is None or last is None else (first, last)


def remove_prefix(text: str, pattern: str, *, longest: bool) -> str:
    """Return `text` without its shortest or longest beginning that `pattern` fits. Raises `InvalidPattern`."""
    found = _compile(_tokens(pattern)).ends(text)
    return text if found is None else text[found[longest] :]


def remove_suffix(text: str, pattern: str, *, longest: bool) -> str:
    """Return `text` without its shortest or longest end that `pattern` fits. Raises `InvalidPattern`."""
    found = _compile(_tokens(pattern)[::-1]).ends(text[::-1])
    return text if found is None else text[: len(text) - found[longest]]


def replace(text: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """Return `text` with `replacement` for the first longest match of `pattern`, or for all. Raises `InvalidPattern`."""
    tokens = _tokens(pattern)
    forward = _compile(tokens)
    begins = _begins(text, _compile(tokens[::-1]))
    parts: list[str] = []
    copied, place = 0, 0
    while place <= len(text):
        start = begins.find(1, place)
        found = None if start < 0 else forward.ends(text, start)
        if found is None:
            break
        end = found[1]
        parts.append(text[copied:start])
        # Go's rule: not for nothing right behind a match.
        if end > copied or start == 0:
            parts.append(replacement)
        copied = end
        place = max(end, place + 1)
        if not everywhere:
            break
    return "".join((*parts, text[copied:]))


def _begins(text: str, backward: Pattern) -> bytearray:
    """For each place of `text` and its end, whether a match begins there."""
    begins = bytearray(len(text) + 1)
    states = 0
    for place in range(len(text), -1, -1):
        # A match may end at every place.
        states |= 1
        begins[place] = bool(states & backward.final)
        if place:
            states = backward.step(states, text[place - 1])
    return begins


# A token is a character as it stands, or one of these.
_ANY, _STAR = "any", "star"


def _tokens(pattern: str) -> list[str]:
    tokens: list[str] = []
    characters = iter(range(len(pattern)))
    for place in characters:
        character = pattern[place]
        following = pattern[place + 1 : place + 2]
        if character == "*":
            tokens.append(_STAR)
        elif character == "?":
            tokens.append(_ANY)
        elif character != "\\":
            tokens.append(character)
        elif following in ("*", "?", "\\"):
            tokens.append(following)
            next(characters)
        elif following not in ("}", "/"):  # those two need the backslash only to be in `${}`
            raise InvalidPattern(following)
    return tokens


def _compile(tokens: Sequence[str]) -> Pattern:
    matches: dict[str, int] = {}
    any_matches, loops, state = 0, 0, 1
    for token in tokens:
        if token == _STAR:
            loops |= state
            continue
        if token == _ANY:
            any_matches |= state
        else:
            matches[token] = matches.get(token, 0) | state
        state <<= 1
    return Pattern(matches, any_matches, loops, state)
