"""Which version of Python the repository asks for, and where it says so.

Reads `.python-version` (https://github.com/pyenv/pyenv#understanding-python-version-selection, and uv's forms of it) and
`runtime.txt` (Heroku's: `python-3.10.13`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from buildpacks.python.errors import UnreadableVersion

VARIABLE = "BP_CPYTHON_VERSION"
DEFAULT = "3.10"
_PREFIX = re.compile(r"(?:c?python)[-@ ]?(?=\d)", re.IGNORECASE)
# `3`, `3.10`, `3.10.13`, `3.10.*`, `3.10.x`
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}(?:\.[*xX])?")
_OTHER = re.compile(
    r"(pypy|graalpy|jython|ironpython|stackless|micropython|anaconda|miniconda|miniforge|mambaforge)", re.I
)
_MAX_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRequest:
    """A version that is asked for. `origin` is where: a file with its line, a variable, a buildpack, or the default."""

    text: str
    specifier: SpecifierSet
    origin: str
    minor: str | None = None
    """`3.10` where a file names an exact patch release of it: another one may do."""


def read_requests(app_dir: Path, env: Mapping[str, str], required: tuple[str, ...]) -> tuple[VersionRequest, ...]:
    """Return what the first source that says anything asks for: several alternatives in order of preference, never none.

    The sources: the variable, `.python-version`, `runtime.txt`, `required` by other buildpacks, the default. Raises
    `UnreadableVersion`.
    """
    variable = env.get(VARIABLE, "").strip()
    if variable:
        return (_parse(variable, origin=f"`{VARIABLE}`", is_file=False),)
    for name, read in ((".python-version", _read_python_version), ("runtime.txt", _read_runtime)):
        found = read(name, _lines(app_dir / name, name))
        if found:
            return found
    if required:
        return (_parse(required[0], origin="a buildpack", is_file=False),)
    return (_parse(DEFAULT, origin="the default", is_file=False),)


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
            specifier=SpecifierSet(f"=={plain}" if is_exact else f"=={plain}.*"),
            origin=origin,
            minor=".".join(parts[:2]) if is_exact and is_file else None,
        )
    if re.match(r"[<>=~!]", version):
        try:
            return VersionRequest(text=version, specifier=SpecifierSet(version), origin=origin)
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
