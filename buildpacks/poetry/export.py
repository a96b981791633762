"""Reads what `poetry export` wrote: every package with its place in the repository's files, and the index that it comes from.

https://github.com/python-poetry/poetry-plugin-export: requirement lines with markers and hashes. Of the indexes it only says
that there are several; which package is from which stands in the lock.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from buildpacks.installer.credentials import without_credentials
from buildpacks.installer.lock import LockEntry, parse_entries
from buildpacks.poetry.errors import PYPROJECT
from buildpacks.poetry.kept import ExportedLine
from buildpacks.poetry.lock_file import LockedPackage, LockFile
from buildpacks.poetry.project import LOCK, PoetryProject

# `git@host:path`, which Poetry exports with the colon that no URL can have there.
_SSH = re.compile(r"(git\+ssh://[^/\s:]+):(?!\d+/)")
_FILE_URL = re.compile(r"(?:-e |\S+ @ )(file://\S+)")


def parse_export(
    text: str, lock: LockFile, project: PoetryProject, *, app_dir: Path, origin: str | None
) -> tuple[tuple[ExportedLine, ...], str]:
    """Return the exported packages in the order of the export, and the file whose lines they name.

    `origin` is the lock, or `None` where the repository has none: then they stand on the lines of `pyproject.toml`.
    """
    lines = []
    for entry in parse_entries(_SSH.sub(r"\1/", text)):
        path = _path(entry)
        package = _package_at(path, lock, app_dir) if path is not None and entry.name is None else None
        if package is None and entry.name is not None:
            package = lock.find(entry.name, entry.version)
        is_indexed = package is not None and package.source_type == "legacy"
        name = package.name if package is not None else entry.name
        number = package.line if package is not None and origin is not None else _line_of(name, project)
        lines.append(
            ExportedLine(
                text=without_credentials(entry.text),
                hashes=entry.hashes,
                line=number,
                source_name=package.source_name if package is not None and is_indexed else None,
                source_url=without_credentials(package.source_url or "")
                if package is not None and is_indexed
                else None,
            )
        )
    return tuple(lines), LOCK if origin is not None else PYPROJECT


def local_paths(lines: tuple[ExportedLine, ...]) -> tuple[Path, ...]:
    """Return the directories and archives among the packages, each once."""
    paths = (_path(LockEntry(text=line.text)) for line in lines)
    return tuple(dict.fromkeys(path for path in paths if path is not None and path.exists()))


def _path(entry: LockEntry) -> Path | None:
    found = _FILE_URL.match(entry.text)
    return Path(unquote(urlsplit(found[1]).path)) if found else None


def _package_at(path: Path, lock: LockFile, app_dir: Path) -> LockedPackage | None:
    """The package of an editable line, which has no name."""
    for package in lock.packages:
        is_local = package.source_type in ("directory", "file") and package.source_url is not None
        # Relative to the lock, as Poetry writes it.
        if is_local and (app_dir / (package.source_url or "")).resolve() == path.resolve():
            return package
    return None


def _line_of(name: str | None, project: PoetryProject) -> int:
    lines = {canonicalize_name(one.name): one.origin.line or 1 for one in project.dependencies}
    # What another package needs has no line of its own.
    first = min(lines.values(), default=1)
    return lines.get(canonicalize_name(name), first) if name else first
