"""Which version of Python the repository asks for, which ones it allows, and where it says so.

Reads the requirements of other buildpacks, `.python-version`
(https://github.com/pyenv/pyenv#understanding-python-version-selection, and uv's forms of it) and `runtime.txt` (Heroku's:
`python-3.10.13`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from buildpacks.python.errors import UnreadableVersion

VARIABLE = "BP_CPYTHON_VERSION"
DEFAULT = "3.10"
_PREFIX = re.compile(r"(?:c?python)[-@ ]?(?=\d)", re.IGNORECASE)
# `3`, `3.10`, `3.10.13`, `3.10.*`, `3.10.x`
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}(?:\.[*xX])?")
_OTHER = re.compile(
    r"(pypy|graalpy|jython|ironpython|stackless|micropython|anaconda|miniconda|miniforge|mambaforge)", re.I
)
# Between alternatives of a range that a buildpack requires, as Poetry writes it.
_OR = "||"
_MAX_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRequest:
    """Versions that are asked for. `origin` is where: a file with its line, a variable, a buildpack, or the default."""

    text: str
    alternatives: tuple[SpecifierSet, ...]
    """A version fits one of them; never empty."""
    origin: str
    minor: str | None = None
    """`3.10` where a file names an exact patch release of it: another one may do."""

    def allows(self, version: Version) -> bool:
        """Return whether `version` is one of those that are asked for."""
        return any(specifier.contains(version) for specifier in self.alternatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What other buildpacks require."""

    ranges: tuple[VersionRequest, ...] = ()
    """What the repository allows: the interpreter must be in each of them."""
    wishes: tuple[VersionRequest, ...] = ()
    """What counts where the repository itself says nothing, in the order of the plan."""


def read_requirements(metadata: Sequence[Mapping[str, object]]) -> Requirements:
    """Return what the metadata of the plan's entries for Python ask for: `version`, and where the repository says so in
    `version-origin`. Raises `UnreadableVersion`.
    """
    ranges, wishes = [], []
    for entry in metadata:
        text, origin = entry.get("version"), entry.get("version-origin")
        if text and origin:
            ranges.append(_parse_range(str(text), origin=str(origin)))
        elif text:
            wishes.append(_parse_range(str(text), origin="a buildpack"))
    return Requirements(ranges=tuple(ranges), wishes=tuple(wishes))


def read_requests(app_dir: Path, env: Mapping[str, str], required: Requirements) -> tuple[VersionRequest, ...]:
    """Return what the first source that says anything asks for: several alternatives in order of preference, never none.

    The sources: the variable, `.python-version`, `runtime.txt`, what other buildpacks require, the default. Raises
    `UnreadableVersion`.
    """
    variable = env.get(VARIABLE, "").strip()
    if variable:
        return (_parse(variable, origin=f"`{VARIABLE}`", is_file=False),)
    for name, read in ((".python-version", _read_python_version), ("runtime.txt", _read_runtime)):
        found = read(name, _lines(app_dir / name, name))
        if found:
            return found
    return required.ranges[:1] or required.wishes[:1] or (_parse(DEFAULT, origin="the default", is_file=False),)


def _parse_range(text: str, *, origin: str) -> VersionRequest:
    parsed = [_parse(part, origin=origin, is_file=False) for part in map(str.strip, text.split(_OR))]
    alternatives = tuple(specifier for request in parsed for specifier in request.alternatives)
    return VersionRequest(text=text, alternatives=alternatives, origin=origin)


def _read_python_version(name: str, lines: tuple[tuple[int, str], ...]) -> tuple[VersionRequest, ...]:
    """pyenv allows several versions, the first being the one that `python` is; names it cannot know are passed over if
    a version stands beside them.
    """
    found: list[VersionRequest] = []
    problems: list[UnreadableVersion] = []
    for number, line in lines:
        # pyenv-virtualenv: `3.10.13/envs/name`
        words = [line] if re.search(r"[<>=~!]", line) else line.partition("/envs/")[0].split()
        for word in words:
            if word == "system":
                continue
            try:
                found.append(_parse(word, origin=f"{name}:{number}", is_file=True))
            except UnreadableVersion as err:
                problems.append(err)
    if problems and not found:
        raise problems[0]
    return tuple(found)


def _read_runtime(name: str, lines: tuple[tuple[int, str], ...]) -> tuple[VersionRequest, ...]:
    for number, line in lines:
        if _PREFIX.match(line) or _VERSION.fullmatch(line):
            return (_parse(line, origin=f"{name}:{number}", is_file=True),)
        if line.lower().startswith(("python", "pypy")):
            raise _unreadable(line, f"{name}:{number}")
    # `r-4.3-2023-06-01`, `julia-1.9`: the file of another tool
    return ()


def _parse(text: str, *, origin: str, is_file: bool) -> VersionRequest:
    version = _PREFIX.sub("", text.strip(), count=1)
    if _VERSION.fullmatch(version):
        parts = version.rstrip("*xX").rstrip(".").split(".")
        is_exact = len(parts) == 3
        plain = ".".join(parts)
        return VersionRequest(
            text=plain,
            alternatives=(SpecifierSet(f"=={plain}" if is_exact else f"=={plain}.*"),),
            origin=origin,
            minor=".".join(parts[:2]) if is_exact and is_file else None,
        )
    if re.match(r"[<>=~!]", version):
        try:
            return VersionRequest(text=version, alternatives=(SpecifierSet(version),), origin=origin)
        except InvalidSpecifier:
            pass
    raise _unreadable(text, origin)


def _unreadable(text: str, origin: str) -> UnreadableVersion:
    if _OTHER.match(text):
        reason = "is not CPython, which is all that there is here"
    elif re.match(r"\d", text):
        reason = "is not a version of CPython"
    else:
        reason = "is the name of an environment on one machine, not a version"
    return UnreadableVersion(origin=origin, text=text[:80], reason=reason)


def _lines(path: Path, name: str) -> tuple[tuple[int, str], ...]:
    """The lines that hold anything, without comments, with their numbers."""
    if not path.is_file():
        return ()
    with path.open("rb") as stream:
        content = stream.read(_MAX_SIZE)
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        lines = content.decode(encoding).splitlines()
    except UnicodeDecodeError as err:
        raise UnreadableVersion(origin=name, text="", reason="cannot be read: it is not UTF-8 text") from err
    stripped = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1))
    return tuple((number, line) for number, line in stripped if line)
