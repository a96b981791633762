"""Which files of a repository belong to the application: `include` and `exclude` of project.toml, in the words of gitignore
(https://git-scm.com/docs/gitignore#_pattern_format).

The library translates patterns; which of several decides is said here, because a file that is doubtful must stay out:
`exclude` is what git does, where nothing in an excluded directory comes back in, and with `include` the last pattern decides that
fits a file or a directory above it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NOT_DECIDED = -1
# What the library gives for patterns that fit everything.
_EVERYTHING = "."
# A pattern comes from a stranger, and with each more of them a name takes a hundred times as long.
_MOST_STARS_IN_NAME, _MOST_DOUBLE_STARS = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A line as it may stand in a `.gitignore`. Made by `parse`."""

    is_negated: bool
    of_directories: bool
    expression: re.Pattern[str]
    fits_inside: bool
    """Whether it is for everything in a directory (`build/**`), however deep."""

    @classmethod
    def parse(cls, text: str) -> Pattern | None:
        """Return the pattern; `None` for an empty line and a comment. Raises `ValueError`."""
        # Few repositories have any, and it takes a tenth of a second.
        from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

        line = text if text.endswith("\\ ") else text.rstrip()
        if not line or line.startswith("#"):
            return None
        pattern = line.removeprefix("!")
        # With it the library would make the pattern one for what is in the directory.
        plain = pattern.rstrip("/")
        if not plain:
            raise ValueError(f"`{text}` is a pattern that fits nothing")
        names = plain.split("/")
        stars = max(len(re.findall(r"\*+", name)) for name in names)
        if stars > _MOST_STARS_IN_NAME or names.count("**") > _MOST_DOUBLE_STARS:
            raise ValueError(
                f"`{text}` has too many `*`: {_MOST_STARS_IN_NAME} in a name, {_MOST_DOUBLE_STARS} times `**`"
            )
        try:
            expression = GitIgnoreBasicPattern(plain).regex
        except ValueError as err:
            raise ValueError(f"`{text}` is not a pattern as in a .gitignore") from err
        if expression is None:
            raise ValueError(f"`{text}` is not a pattern as in a .gitignore")
        return cls(
            is_negated=line != pattern,
            of_directories=plain != pattern,
            expression=expression,
            fits_inside=plain.endswith("/**"),
        )

    def fits(self, path: str, *, is_directory: bool) -> bool:
        """Return whether it fits the path itself, not only a directory above it."""
        if self.of_directories and not is_directory:
            return False
        if self.fits_inside:
            return self.expression.match(path) is not None
        return self.expression.pattern == _EVERYTHING or self.expression.fullmatch(path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is kept of a tree that is walked from its root. `is_include`: what the patterns fit; else what they do not."""

    patterns: tuple[Pattern, ...] = ()
    is_include: bool = False

    def decide(self, path: str, *, is_directory: bool, above: int) -> int:
        """Return the number of the pattern that decides on `path`, relative to the root, or `NOT_DECIDED`.

        `above` is what this gave for the directory that it is in.
        """
        own = max(
            (number for number, one in enumerate(self.patterns) if one.fits(path, is_directory=is_directory)),
            default=NOT_DECIDED,
        )
        return max(own, above) if self.is_include else own

    def keeps(self, decision: int) -> bool:
        """Return whether what was decided on so is kept."""
        fits = decision != NOT_DECIDED and not self.patterns[decision].is_negated
        return fits is self.is_include

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.patterns and not self.is_include


def parse_selection(*, include: Sequence[str] | None, exclude: Sequence[str] | None) -> Selection:
    """Return the selection of either. Raises `ValueError` for a line that is no pattern."""
    lines = include if include is not None else exclude or ()
    patterns = tuple(pattern for pattern in map(Pattern.parse, lines) if pattern is not None)
    return Selection(patterns=patterns, is_include=include is not None)
