"""The variables that an instruction sees, and how sure that is while the base image has not been looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from buildpacks.dockerfile.arguments import InvalidWord
from buildpacks.dockerfile.words import RequiredVariable, expand
from lifecycle.cnb.recipe import ImageFacts

# What BuildKit and buildah give an image that sets none (https://github.com/moby/buildkit/blob/v0.8.3/util/system/path.go).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
# MAX_ARG_STRLEN of Linux: no process gets a longer variable.
_LONGEST_VALUE = 128 * 1024
_LONGEST_RESULT = 16 * 1024 * 1024
_REPLACEMENT = re.compile(r"\$\{\w+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A text with the values of its variables."""

    text: str
    words: tuple[str, ...]
    """The text, split at white space that was not quoted."""
    unset: frozenset[str]
    """The variables in it that are not set."""
    is_certain: bool
    """False where it may be another one once the base image is known."""

    @classmethod
    def of(cls, text: str, *, is_certain: bool = True) -> Value:
        """Return a value that was given as it is."""
        return cls(text=text, words=(), unset=frozenset(), is_certain=is_certain)


@dataclass(slots=True, kw_only=True)
class Scope:
    """What is known at a place in a stage. BuildKit counts the last of `ARG` and `ENV`, whichever it was."""

    variables: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    """Of the variables, those that `ARG` gave last."""
    uncertain: set[str] = field(default_factory=set)
    is_complete: bool = True
    """Whether every variable of the base image is among them."""
    shell: tuple[str, ...] | None = DEFAULT_SHELL
    """`None`: what the base image says, which is not known."""
    longest: int = 0
    """No value of `variables` is longer."""

    @classmethod
    def of_image(cls, facts: ImageFacts | None) -> Scope:
        """Return the scope at the beginning of a stage from an image; `None`: nobody has looked at it."""
        if facts is None:
            return cls(is_complete=False, shell=None)
        pairs = (one.partition("=") for one in facts.env)
        variables = {"PATH": DEFAULT_PATH, **{name: value for name, _, value in pairs}}
        longest = max(map(len, variables.values()))
        return cls(variables=variables, shell=facts.shell or DEFAULT_SHELL, longest=longest)

    @classmethod
    def of_nothing(cls) -> Scope:
        """Return the scope at the beginning of `FROM scratch`."""
        return cls(variables={"PATH": DEFAULT_PATH}, longest=len(DEFAULT_PATH))

    def copy(self) -> Scope:
        """Return the scope at the beginning of a stage from this one's end."""
        return replace(
            self,
            variables=dict(self.variables),
            arguments=dict(self.arguments),
            uncertain=set(self.uncertain),
        )

    def expand(self, text: str, *, escape: str, process_quotes: bool = True) -> Value:
        """Return `text` with its variables put in. Raises `InvalidWord`."""
        self._check_bounds(text)
        try:
            expansion = expand(text, self.variables, escape=escape, process_quotes=process_quotes)
        except RequiredVariable:
            if self.is_complete:
                raise
            return Value.of("", is_certain=False)
        is_certain = (self.is_complete or not expansion.unset) and not expansion.used & self.uncertain
        return Value(text=expansion.text, words=expansion.words, unset=expansion.unset, is_certain=is_certain)

    def set(self, name: str, value: Value, *, is_argument: bool) -> None:
        """Set a variable, as `ENV` does or, `is_argument`, `ARG`. Raises `InvalidWord` for what no process could be given."""
        if len(value.text) > _LONGEST_VALUE:
            raise InvalidWord(reason=f"`{name}` would be longer than {_LONGEST_VALUE} characters")
        self.variables[name] = value.text
        self.longest = max(self.longest, len(value.text))
        self.arguments.pop(name, None)
        self.uncertain.discard(name)
        if is_argument:
            self.arguments[name] = value.text
        if not value.is_certain:
            self.uncertain.add(name)

    def _check_bounds(self, text: str) -> None:
        """Raise `InvalidWord` where the values could fill the memory."""
        count = text.count("$")
        longest = self.longest
        if count and _REPLACEMENT.search(text):
            longest = max(longest, len(text)) ** 2
        if count * longest > _LONGEST_RESULT:
            raise InvalidWord(reason="the values of the variables in it are too long")
