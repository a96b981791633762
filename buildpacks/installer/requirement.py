"""One requirement of a requirement file: what pip reads it as, and what to write where pip cannot read it.

https://pip.pypa.io/en/stable/reference/requirement-specifiers/ and PEP 508. Paths are relative to the app directory, as pip
takes them relative to where it is started; they must stay in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as NamedRequirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from buildpacks.installer.advice import advise
from buildpacks.installer.errors import ProblemKind

# pip's `ARCHIVE_EXTENSIONS`
_ARCHIVES = (".zip", ".whl", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz")
_VCS = ("git", "hg", "svn", "bzr")
_URL = re.compile(r"(?:(?:git|hg|svn|bzr)\+)?(?:https?|ftp|file|ssh|git|svn|lp):", re.IGNORECASE)
_EXTRAS_AT_END = re.compile(r"(.+?)(\[[^\]]*\])$")
_EGG = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?")
# GitHub and most others stopped serving it: https://github.blog/2021-09-01-improving-git-protocol-security-github/
_DEAD_SCHEMES = frozenset({"git", "git+git"})

Kind = Literal["index", "url", "vcs", "local"]


class LineProblem(Exception):
    """The line cannot be used: what is wrong and what to write. Nothing in it comes from an expanded variable."""

    def __init__(self, kind: ProblemKind, message: str, change: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.change = change


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A requirement that pip can read. `text` means the same from any directory; it may hold credentials."""

    kind: Kind
    text: str
    name: str | None
    """Canonical; `None` where only building the project tells it."""
    path: Path | None = None
    """Of a local project or archive."""
    url: str | None = None
    """Of a URL or version control requirement, without its fragment."""
    is_pinned: bool = False
    """Whether `==` or `===` leaves one version."""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the paths of a requirement begin, and what they may not leave."""

    root: Path
    """The app directory."""
    base: Path
    """The working directory that the line is written for: the app directory for pip."""


def parse_requirement(text: str, *, shown: str, place: Place) -> Requirement:
    """Return what `text` asks for. `shown` is the line as it was written, for messages. Raises `LineProblem`."""
    is_url = _URL.match(text) is not None
    body, marker = _split_marker(text, "; " if is_url else ";", shown)
    if is_url:
        return _parse_url(body, marker=marker, shown=shown, place=place)
    local = _parse_path(body, marker=marker, shown=shown, place=place)
    if local is not None:
        return local
    try:
        named = NamedRequirement(text)
    except InvalidRequirement as err:
        message, change = advise(shown, str(err).splitlines()[0])
        raise LineProblem("invalid", message, change) from err
    name = canonicalize_name(named.name)
    _reject_what_is_no_package(name, named, shown)
    if named.url is not None:
        prefix = named.name + (f"[{','.join(sorted(named.extras))}]" if named.extras else "")
        return _parse_url(named.url, marker=marker, shown=shown, place=place, prefix=prefix)
    is_pinned = any(
        specifier.operator in ("==", "===") and not specifier.version.endswith(".*") for specifier in named.specifier
    )
    return Requirement(kind="index", text=text, name=name, is_pinned=is_pinned, extras=tuple(sorted(named.extras)))


def parse_editable(text: str, *, shown: str, place: Place) -> Requirement:
    """Return what stands behind `-e`: a local project, or a version control URL. Raises `LineProblem`."""
    if _URL.match(text) is None:
        body, marker = _split_marker(text, ";", shown)
        path_text, _ = _split_extras(body.strip())
        if "@" not in path_text or (place.base / path_text).is_dir():
            return _local(body, marker=marker, shown=shown, place=place)
    if text.split(":", 1)[0].lower() in _VCS:
        text = f"{text.split(':', 1)[0].lower()}+{text}"
    found = parse_requirement(text, shown=shown, place=place)
    if found.kind in ("vcs", "local"):
        return found
    raise LineProblem(
        "invalid",
        f"`{shown}` cannot be installed as editable",
        "`-e` takes a directory with a `pyproject.toml` or a version control URL such as `git+https://…`",
    )


def _split_marker(text: str, separator: str, shown: str) -> tuple[str, str]:
    body, found, marker = text.partition(separator)
    marker = marker.strip()
    if not found or not marker:
        return body.strip(), ""
    try:
        Marker(marker)
    except InvalidMarker as err:
        raise LineProblem(
            "invalid",
            f"`{shown}` has a marker that is not valid after its `;`",
            'write it as in `numpy; python_version >= "3.10"`',
        ) from err
    return body.strip(), marker


def _parse_url(text: str, *, marker: str, shown: str, place: Place, prefix: str = "") -> Requirement:
    parts = urlsplit(text)
    scheme, ending = parts.scheme.lower(), f" ; {marker}" if marker else ""
    if scheme == "file":
        return _parse_file_url(text, marker=marker, shown=shown, place=place, prefix=prefix)
    url, _, fragment = text.partition("#")
    if scheme in _DEAD_SCHEMES:
        raise LineProblem(
            "dead-protocol",
            f"`{shown}` uses the protocol `git://`, which GitHub and most others no longer serve",
            f"write `git+https://{parts.netloc.rpartition('@')[2]}{parts.path}` instead",
        )
    kind: Kind = "url"
    if scheme.partition("+")[0] in _VCS:
        kind = "vcs"
        _check_version_control(scheme, parts.path, shown)
    elif parts.path.lower().endswith(".whl"):
        _check_wheel_name(parts.path, shown)
    egg = _egg(fragment)
    if egg:
        prefix = prefix or egg
        # uv reads the fragment of a URL as the specification has it: without `egg`, which `name @ url` replaces.
        fragment = "&".join(part for part in fragment.split("&") if not part.startswith("egg="))
    full = f"{url}#{fragment}" if fragment else url
    name = _name_of(prefix) or (_wheel_name(parts.path) if kind == "url" else None)
    return Requirement(
        kind=kind, text=f"{prefix} @ {full}{ending}" if prefix else f"{full}{ending}", name=name, url=url
    )


def _check_version_control(scheme: str, path: str, shown: str) -> None:
    revision = path.rpartition("@")[2] if "@" in path else ""
    if scheme == "git+file":
        raise LineProblem(
            "local-file",
            f"`{shown}` refers to a repository on one machine",
            "give the URL of a server, or commit the project and write its path as `./name`",
        )
    if revision.startswith("-"):
        raise LineProblem("invalid", f"`{shown}` has a revision that begins with `-`", "name a branch, tag or commit")


def _parse_file_url(text: str, *, marker: str, shown: str, place: Place, prefix: str) -> Requirement:
    url, _, fragment = text.partition("#")
    path = Path(unquote(urlsplit(url).path))
    if not _is_inside(path, place.root):
        raise LineProblem(
            "local-file",
            f"`{shown}` refers to a file of the machine where it was written",
            "replace it by the name and version, as in `numpy==1.26.4`; `pip list --format=freeze` writes such lines",
        )
    extras = prefix[prefix.index("[") :] if "[" in prefix else ""
    found = _local(f"{path}{extras}", marker=marker, shown=shown, place=place)
    name = prefix or _egg(fragment)
    return (
        found
        if not name
        else Requirement(kind="local", text=found.text, name=_name_of(name), path=found.path, extras=found.extras)
    )


def _parse_path(text: str, *, marker: str, shown: str, place: Place) -> Requirement | None:
    """A path as pip recognises one: a directory that looks like it, or the name of an archive."""
    path_text, _ = _split_extras(text)
    looks_like_path = "/" in path_text or path_text.startswith(".")
    if " @ " in text or ("@" in path_text and not (place.base / path_text).exists()):
        return None
    if (place.base / path_text).exists() and looks_like_path:
        return _local(text, marker=marker, shown=shown, place=place)
    is_archive = path_text.lower().endswith(_ARCHIVES)
    if (is_archive or looks_like_path) and not re.search(r"[=<>~!\s]", path_text):
        return _local(text, marker=marker, shown=shown, place=place)
    return None


def _local(text: str, *, marker: str, shown: str, place: Place) -> Requirement:
    path_text, extras = _split_extras(text.strip())
    path = place.base / path_text
    if not _is_inside(path, place.root):
        raise LineProblem(
            "outside",
            f"`{shown}` leads out of the app directory",
            "commit the project into the repository and write its path from there",
        )
    resolved = path.resolve()
    if not resolved.exists():
        raise LineProblem(
            "missing-path",
            f"`{shown}` names a file or directory that is not in the app directory",
            "commit it, correct the path (it is relative to the app directory), or remove the line",
        )
    if resolved.is_dir() and not any((resolved / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise LineProblem(
            "missing-path",
            f"`{shown}` names a directory that is no Python project",
            "it needs a `pyproject.toml` or a `setup.py`; a directory of modules needs no line at all",
        )
    if resolved.is_file() and resolved.suffix == ".whl":
        _check_wheel_name(resolved.name, shown)
    name = _wheel_name(resolved.name) if resolved.is_file() else None
    ending = f" ; {marker}" if marker else ""
    names = tuple(sorted(extra.strip() for extra in extras[1:-1].split(",") if extra.strip()))
    return Requirement(kind="local", text=f"{resolved}{extras}{ending}", name=name, path=resolved, extras=names)


def _is_inside(path: Path, app_dir: Path) -> bool:
    """Whether `path` stays in the app directory, links followed."""
    return path.resolve().is_relative_to(app_dir.resolve())


def _split_extras(text: str) -> tuple[str, str]:
    found = _EXTRAS_AT_END.fullmatch(text)
    return (found[1].rstrip(), found[2]) if found else (text, "")


def _egg(fragment: str) -> str:
    for part in fragment.split("&"):
        found = _EGG.fullmatch(unquote(part.removeprefix("egg="))) if part.startswith("egg=") else None
        if found is not None:
            return found[0]
    return ""


def _name_of(prefix: str) -> str | None:
    return canonicalize_name(prefix.partition("[")[0].strip()) if prefix else None


def _wheel_name(path: str) -> str | None:
    if not path.endswith(".whl"):
        return None
    return parse_wheel_filename(unquote(path.rpartition("/")[2]))[0]


def _check_wheel_name(path: str, shown: str) -> None:
    try:
        _wheel_name(path)
    except InvalidWheelFilename as err:
        raise LineProblem(
            "invalid",
            f"`{shown}` ends in a name that no wheel can have",
            "a wheel keeps the name that it was built with, such as `name-1.0-py3-none-any.whl`",
        ) from err


def _reject_what_is_no_package(name: str, named: NamedRequirement, shown: str) -> None:
    if name == "pkg-resources" and str(named.specifier) == "==0.0.0":
        raise LineProblem(
            "not-a-package",
            f"`{shown}` is no package: `pip freeze` of old Debian and Ubuntu systems wrote this line",
            "remove the line",
        )
    if name == "python":
        version = str(named.specifier).lstrip("=~>") or "3.11"
        raise LineProblem(
            "not-a-package",
            f"`{shown}` asks for Python itself, which pip cannot install",
            f"remove the line; to choose a version, write it into a file `.python-version`: `{version}`",
        )
