"""The files of a Poetry project as those of an environment: what it depends on, without the project itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lifecycle.cnb.errors import ConfigurationError
from lifecycle.cnb.toml import parse_toml
from pybuild.environments.definition import PoetryPackages
from pybuild.environments.requirements import names_file
from pybuild.environments.texts import normalise_text, read_text

_PROJECT, _LOCK, _BACKEND = "pyproject.toml", "poetry.lock", "poetry.core"
_TABLE = re.compile(r"^\[\s*tool\s*\.\s*poetry\s*\][ \t]*(?:#.*)?$", re.MULTILINE)
_MODE = re.compile(r"^package-mode[ \t]*=.*\n?", re.MULTILINE)


def read_poetry(directory: Path) -> PoetryPackages:
    """Return `pyproject.toml`, which says `package-mode = false`, and `poetry.lock` if there is one.

    Raises:
        ConfigurationError: they cannot be read, or name what is on this computer only.
    """
    path = directory / _PROJECT
    text = normalise_text(read_text(path))
    document = parse_toml(text.encode(), source=path)
    _refuse_paths(document, path)
    files = {_PROJECT: _without_package(text, document, path)}
    if (directory / _LOCK).exists():
        files[_LOCK] = normalise_text(read_text(directory / _LOCK))
    return PoetryPackages(files=files)


def _without_package(text: str, document: Mapping[str, object], path: Path) -> str:
    """The project without its code, which is not there. The lock does not depend on it."""
    found = _TABLE.search(text)
    if found is None and _is_poetrys(document):
        return f"{text}\n[tool.poetry]\npackage-mode = false\n"
    if found is None:
        advice = "is it a Poetry project? others are built by Environment.from_repository"
        raise ConfigurationError(path, "has no table `[tool.poetry]`", advice=advice)
    before, after = text[: found.end() + 1], text[found.end() + 1 :]
    end = re.search(r"^\[", after, re.MULTILINE)
    table, rest = (after, "") if end is None else (after[: end.start()], after[end.start() :])
    return f"{before}package-mode = false\n{_MODE.sub('', table)}{rest}"


def _is_poetrys(document: Mapping[str, object]) -> bool:
    """Whether Poetry 2 builds it, which needs no table of its own, or it has tables of Poetry's below that one."""
    tool, system = document.get("tool"), document.get("build-system")
    backend = system.get("build-backend") if isinstance(system, Mapping) else None
    return (isinstance(tool, Mapping) and "poetry" in tool) or str(backend).startswith(_BACKEND)


def _refuse_paths(document: Mapping[str, object], path: Path) -> None:
    project = document.get("project")
    listed = project.get("dependencies") if isinstance(project, Mapping) else None
    local = [(line, {"path": line}) for line in listed if names_file(str(line))] if isinstance(listed, list) else []
    for name, value in (*local, *_dependencies(document.get("tool"))):
        if isinstance(value, Mapping) and ("path" in value or "file" in value):
            advice = "make the environment of the whole repository: Environment.from_repository"
            raise ConfigurationError(path, f"`{name}` is on this computer only", advice=advice)


def _dependencies(value: object) -> Iterator[tuple[str, object]]:
    """Names and values in every table that is called `dependencies`."""
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key in ("dependencies", "dev-dependencies") and isinstance(inner, Mapping):
            for name, wanted in inner.items():
                yield from ((name, one) for one in (wanted if isinstance(wanted, list) else [wanted]))
        else:
            yield from _dependencies(inner)
