"""The root of every error that pybuild foresees, and how such an error is shown.

CnbError                    1
  InputError                3   what a person gave cannot be used
    ConfigurationError      3   a file that a person or a program wrote does not say what it must
    InvalidValue            3   text that is no digest, reference, location, manifest or config
  command.CommandError          a program could not be started, or took too long
  kit.BuildpackError            a buildpack cannot do its work, and knows why
  (each package draws its own tree in its own `errors.py`)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar

_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class CnbError(Exception):
    """A foreseen problem: facts only. A subclass derives `summary`, `facts`, `document` and `hint` from its typed fields."""

    exit_code: ClassVar[int] = 1

    @property
    def code(self) -> str:
        """What kind of problem it is, for programs: the name of its class, such as `no-space` of `NoSpace`."""
        return _CAPITALS.sub("-", type(self).__name__).lower()

    @property
    def summary(self) -> str:
        """What is wrong, in one line, without a full stop."""
        raise NotImplementedError

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Pairs of label and value that the summary has no room for."""
        return ()

    @property
    def hint(self) -> str | None:
        """The change that would help, where one is known."""
        return None

    @property
    def document(self) -> str | None:
        """A text of several lines that is shown as it stands, such as a patch."""
        return None

    def to_json(self) -> Mapping[str, object]:
        """All that is known of it, ready for JSON. Of facts with one label the values are one text of several lines."""
        facts: dict[str, str] = {}
        for label, value in self.facts:
            facts[label] = f"{facts[label]}\n{value}" if label in facts else value
        return {
            "code": self.code,
            "exitCode": self.exit_code,
            "summary": self.summary,
            "facts": facts,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        return self.summary

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are copied by their arguments, and classes of this tree take others than they give to `Exception`.
        return _remake, (type(self), self.args, self.__dict__)


def _remake(kind: type[CnbError], arguments: tuple[object, ...], values: Mapping[str, object]) -> CnbError:
    """Return a copy of an error, which another process may have raised."""
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(values)
    return error


class InputError(CnbError):
    """What a person gave cannot be used: a repository, a setting, a file, a name."""

    exit_code: ClassVar[int] = 3


@dataclass(eq=False)
class ConfigurationError(InputError):
    """A file does not say what it must. `path` may be a label's name where the text is not in a file."""

    exit_code: ClassVar[int] = 3

    path: PurePath | str
    message: str
    line: int | None = None
    advice: str | None = None

    @property
    def summary(self) -> str:
        """`path:line: message`."""
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


@dataclass(eq=False)
class InvalidValue(InputError):
    """A text does not have the form that its kind needs. `subject` is the text or where it stands."""

    exit_code: ClassVar[int] = 3

    subject: str
    message: str
    advice: str | None = None

    @property
    def summary(self) -> str:
        """Subject and message."""
        return f"{self.subject}: {self.message}"

    @property
    def hint(self) -> str | None:
        """The advice that the raiser gave."""
        return self.advice


def render_error(error: CnbError) -> str:
    """Return the text a person sees: summary, aligned facts, document, hint; no newline at its end, no control characters."""
    lines = [f"error: {printable(error.summary)}"]
    width = max((len(label) for label, _ in error.facts), default=0)
    for label, value in error.facts:
        first, *others = value.splitlines() or [""]
        lines.append(f"  {printable(label):<{width}}  {printable(first)}".rstrip())
        lines.extend(f"  {'':<{width}}  {printable(other)}".rstrip() for other in others)
    if error.document is not None:
        # At the left margin and apart from the rest, so that it can be copied.
        lines.extend(("", *(printable(line) for line in error.document.splitlines()), ""))
    if error.hint is not None:
        lines.extend(f"hint: {printable(line)}" for line in error.hint.splitlines())
    return "\n".join(lines)


def printable(text: str) -> str:
    r"""Return one line that a terminal cannot be steered with: control characters and broken bytes become `\x1b` escapes."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character == "\t"
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )
