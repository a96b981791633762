"""Reading the project: all that is wrong with pyproject.toml at once, or its parts as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from buildpacks.installer.errors import Origin
from buildpacks.poetry.compatibility import find_newer, list_passed_over
from buildpacks.poetry.constraint import ANY_PYTHON, UnreadableConstraint, python_alternatives
from buildpacks.poetry.document import Document, read_document
from buildpacks.poetry.errors import InvalidProject, Problem
from buildpacks.poetry.package import find_missing_parts, readmes
from buildpacks.poetry.paths import find_unusable_paths
from buildpacks.poetry.project import (
    LOCK,
    MAIN_GROUP,
    Dependency,
    DependencyKind,
    Group,
    PoetryProject,
    Priority,
    PythonRange,
    Source,
)
from buildpacks.poetry.selection import select_groups
from buildpacks.poetry.settings import Settings
from buildpacks.poetry.validation import dependency_tables, find_invalid
from lifecycle.cnb.lines import KeyPath

_ROOT = ("tool", "poetry")
_ELSEWHERE: tuple[DependencyKind, ...] = ("git", "file", "path", "url")
_REFERENCES = ("rev", "tag", "branch")


def read_project(app_dir: Path, settings: Settings) -> PoetryProject:
    """Return the project in `app_dir`. Raises `InvalidProject` with all that is wrong with it, `InvalidSetting` for a group
    that it does not have, and `MissingTool`.

    Of a project for Poetry 2 only what this buildpack itself must understand is checked: the rest Poetry says.
    """
    document = read_document(app_dir)
    problems = [*_no_table(document), *find_newer(document, settings)]
    is_first = settings.version.major < 2
    if is_first and not problems:
        problems += find_invalid(document, app_dir)
    try:
        python = read_python(document)
    except InvalidProject as err:
        python = None
        problems += err.problems
    _raise(problems)
    project = _make_project(document, app_dir, settings, python)
    problems += _unusable(document, project, app_dir, settings, is_first=is_first)
    _raise(problems)
    return project


def read_python(document: Document) -> PythonRange:
    """Return the versions of Python that the project asks for: any, where it says nothing. Raises `InvalidProject` where that
    cannot be read, and `MissingTool`.
    """
    for path, table in (
        (("tool", "poetry", "dependencies"), _dependencies(document)),
        (("project",), document.project),
    ):
        for key in table or {}:
            if key.lower() == ("requires-python" if path == ("project",) else "python"):
                return _parse_python((table or {})[key], document.origin(*path, key), key)
    return PythonRange(text="*", alternatives=(ANY_PYTHON,), origin=document.origin(*_ROOT, "dependencies"))


def _parse_python(value: object, origin: Origin, key: str) -> PythonRange:
    if isinstance(value, str):
        try:
            return PythonRange(text=value, alternatives=python_alternatives(value), origin=origin)
        except UnreadableConstraint as err:
            message = f'`{key} = "{value}"` {err}'
    else:
        message = f"`{key}` must be a string: Poetry passes over the range of anything else"
    change = f'write a range such as `{key} = ">=3.10,<4.0"`'
    raise InvalidProject(problems=(Problem(origin=origin, kind="python", message=message, change=change),))


def _raise(problems: list[Problem]) -> None:
    if problems:
        ordered = sorted(problems, key=lambda problem: problem.origin.line or 0)
        raise InvalidProject(problems=tuple(dict.fromkeys(ordered)))


def _no_table(document: Document) -> Iterator[Problem]:
    tool = document.root.values.get("tool")
    value = tool.get("poetry") if isinstance(tool, Mapping) else None
    if value is not None and not isinstance(value, Mapping):
        origin = document.origin(*_ROOT)
        yield Problem(origin=origin, kind="invalid", message="`tool.poetry` must be a table", change="make it one")


def _unusable(
    document: Document, project: PoetryProject, app_dir: Path, settings: Settings, *, is_first: bool
) -> Iterator[Problem]:
    # Poetry needs what it locks; what is locked and not installed need not be there.
    is_locking = settings.relock or not project.has_lock
    needed = [group.name for group in project.groups] if is_locking else select_groups(project, settings)
    yield from find_unusable_paths(project.dependencies, app_dir, needed=frozenset(needed))
    if is_first and project.package_mode:
        yield from find_missing_parts(document, app_dir)


def _make_project(document: Document, app_dir: Path, settings: Settings, python: PythonRange | None) -> PoetryProject:
    # Of `[project]` only Poetry 2 reads anything.
    poetry, project = document.poetry, (document.project or {}) if settings.version.major >= 2 else {}
    package_mode = poetry.get("package-mode", True) is not False
    build = poetry.get("build")
    script = build.get("script") if isinstance(build, Mapping) else build
    return PoetryProject(
        name=_string(poetry.get("name")) or _string(project.get("name")),
        version=_string(poetry.get("version")) or _string(project.get("version")),
        package_mode=package_mode,
        python=python,
        dependencies=tuple(_read_dependencies(document)),
        groups=_read_groups(document, settings),
        extras=tuple(dict.fromkeys((*_keys(poetry.get("extras")), *_keys(project.get("optional-dependencies"))))),
        scripts=tuple(dict.fromkeys((*_keys(poetry.get("scripts")), *_keys(project.get("scripts"))))),
        sources=tuple(_read_sources(document)),
        readmes=readmes(document),
        build_backend=document.build_backend,
        build_script=_string(script),
        has_lock=(app_dir / LOCK).is_file(),
        notices=list_passed_over(document, settings),
    )


def _dependencies(document: Document) -> Mapping[str, object]:
    table = document.poetry.get("dependencies")
    return table if isinstance(table, Mapping) else {}


def _read_dependencies(document: Document) -> Iterator[Dependency]:
    for group, path, table in dependency_tables(document):
        for name, value in table.items():
            if name.lower() == "python":
                continue
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                here = (*path, name, str(index)) if isinstance(value, list) else (*path, name)
                yield _read_dependency(document, group, name, item if isinstance(item, Mapping) else {}, here)


def _read_dependency(
    document: Document, group: str, name: str, table: Mapping[str, object], path: KeyPath
) -> Dependency:
    kind: DependencyKind = next((kind for kind in _ELSEWHERE if kind in table), "index")
    references = [value for key in _REFERENCES if (value := _string(table.get(key)))]
    return Dependency(
        name=name,
        group=group,
        kind=kind,
        location=_string(table.get(kind)),
        reference=references[0] if references else None,
        develop=table.get("develop") is True,
        optional=table.get("optional") is True,
        source=_string(table.get("source")),
        origin=document.origin(*path),
    )


def _read_groups(document: Document, settings: Settings) -> tuple[Group, ...]:
    names = {MAIN_GROUP: False}
    groups = document.poetry.get("group")
    for name, table in groups.items() if isinstance(groups, Mapping) else ():
        names[name] = isinstance(table, Mapping) and table.get("optional") is True
    # The old name of what `group.dev` is since Poetry 1.2.
    if "dev-dependencies" in document.poetry:
        names.setdefault("dev", False)
    # PEP 735, which Poetry reads since 2.2
    listed = document.root.values.get("dependency-groups") if settings.version.major >= 2 else None
    for name in _keys(listed):
        names.setdefault(name, False)
    return tuple(Group(name=name, optional=optional) for name, optional in names.items())


def _read_sources(document: Document) -> Iterator[Source]:
    listed = document.poetry.get("source")
    for index, table in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
            continue
        named = table.get("priority", "primary")
        priority: Priority = next((item for item in get_args(Priority) if item == named), "primary")
        if table.get("default") is True:
            priority = "default"
        elif table.get("secondary") is True:
            priority = "secondary"
        origin = document.origin(*_ROOT, "source", str(index))
        yield Source(name=str(table["name"]), url=_string(table.get("url")), priority=priority, origin=origin)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _keys(value: object) -> tuple[str, ...]:
    return tuple(str(key) for key in value) if isinstance(value, Mapping) else ()
