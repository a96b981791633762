"""What Poetry 1.8.3's own check says of `[tool.poetry]`, all of it at once, with the line of each key and what to write.

Poetry's validation stops at the first error of its schema. Where there is one, the pieces of the table are put to it one by one.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from buildpacks.poetry.compatibility import NEWER_GROUP_KEYS, NEWER_KEYS, PACKAGE_KEYS
from buildpacks.poetry.constraint import UnreadableConstraint, check_dependency
from buildpacks.poetry.document import Document
from buildpacks.poetry.errors import Problem, ProblemKind
from lifecycle.cnb.lines import KeyPath

# https://python-poetry.org/docs/1.8/pyproject/; `source` is in a schema of its own.
KNOWN_KEYS = frozenset(
    {
        *(
            "authors",
            "build",
            "classifiers",
            "dependencies",
            "description",
            "dev-dependencies",
            "documentation",
            "exclude",
        ),
        *("extras", "group", "homepage", "include", "keywords", "license", "maintainers", "name", "package-mode"),
        *("packages", "plugins", "readme", "repository", "scripts", "source", "urls", "version"),
    }
)
_SOURCE_KEYS = frozenset({"default", "indexed", "links", "name", "priority", "secondary", "url"})
_PRIORITIES = ("primary", "supplemental", "explicit", "default", "secondary")
_KINDS_OF_DEPENDENCY = ("version", "git", "path", "file", "url")
_EXAMPLES = {"authors": "[]", "description": '""', "name": '"my-project"', "version": '"0.1.0"'}
_PLACE = re.compile(r"data((?:\.[\w-]+|\[\d+\])*) (.*)", re.DOTALL)
_DEPENDENCY_TABLES = ("dependencies", "dev-dependencies")


def find_invalid(document: Document, app_dir: Path) -> tuple[Problem, ...]:
    """Return what Poetry 1.8.3 refuses in `[tool.poetry]`. Raises `MissingTool`."""
    schema = tuple(_schema_problems(document))
    found = (*_missing_keys(document), *_unknown_keys(document), *schema)
    # What comes next counts on the schema being met.
    return found if schema else (*found, *_dependency_problems(document, app_dir), *_source_problems(document))


def dependency_tables(document: Document) -> Iterator[tuple[str, KeyPath, Mapping[str, object]]]:
    """Yield every table of dependencies in the order in which Poetry reads them: its group, its path, and what is in it."""
    root, poetry = ("tool", "poetry"), document.poetry
    if isinstance(table := poetry.get("dependencies"), Mapping):
        yield "main", (*root, "dependencies"), table
    groups = poetry.get("group")
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping) and isinstance(table := group.get("dependencies"), Mapping):
            yield name, (*root, "group", name, "dependencies"), table
    if isinstance(table := poetry.get("dev-dependencies"), Mapping):
        yield "dev", (*root, "dev-dependencies"), table


def _missing_keys(document: Document) -> Iterator[Problem]:
    poetry, project = document.poetry, document.project or {}
    dependencies = poetry.get("dependencies")
    # Poetry installs such a project, but its check dies of it: `'python'`.
    if isinstance(dependencies, Mapping) and "python" not in dependencies and "requires-python" not in project:
        yield Problem(
            origin=document.origin("tool", "poetry", "dependencies"),
            kind="missing-key",
            message="`[tool.poetry.dependencies]` has no `python`, without which Poetry cannot check the project",
            change='add the versions that it works with, such as `python = ">=3.10,<4.0"`',
        )
    # A value of another type is a problem of the schema.
    if poetry.get("package-mode", True) is not True:
        return
    for key in PACKAGE_KEYS:
        # What is in `[project]` is a problem of its own.
        if key not in poetry and key not in project:
            yield Problem(
                origin=document.origin("tool", "poetry"),
                kind="missing-key",
                message=f"`[tool.poetry]` has no `{key}`, which a package must have",
                change=f"add `{key} = {_EXAMPLES[key]}`, or `package-mode = false` if the repository is no package",
            )


def _unknown_keys(document: Document) -> Iterator[Problem]:
    for key in document.poetry:
        if key in KNOWN_KEYS or key in NEWER_KEYS:
            continue
        near = difflib.get_close_matches(key, sorted(KNOWN_KEYS), n=1)
        yield Problem(
            origin=document.origin("tool", "poetry", key),
            kind="unknown-key",
            message=f"`{key}` is no key of `[tool.poetry]`",
            change=f"did you mean `{near[0]}`?" if near else "remove it, or move it to the table of the tool it is for",
        )


def _schema_problems(document: Document) -> Iterator[Problem]:
    known = {key: value for key, value in document.poetry.items() if key in KNOWN_KEYS and key != "package-mode"}
    if "package-mode" in document.poetry and not isinstance(document.poetry["package-mode"], bool):
        yield _problem(document, ("tool", "poetry", "package-mode"), "invalid", "must be `true` or `false`")
    if not _schema_error(known):
        return
    for key, value in known.items():
        if not _schema_error({key: value}):
            continue
        for path, piece in tuple(_pieces(key, value)) or (((key,), value),):
            nested: object = piece
            for name in reversed(path):
                nested = {name: nested}
            error = _schema_error(nested)
            if error is not None:
                yield _schema_problem(document, path, piece, error)


def _schema_error(table: object) -> str | None:
    """The first error of the schema, without those keys that must be there: they are asked for elsewhere."""
    # A part of poetry-core, which puts its own copy on the path.
    from fastjsonschema import JsonSchemaException
    from poetry.core.json import SCHEMA_DIR

    try:
        _schema(SCHEMA_DIR / "poetry-schema.json")({**_mapping(table), "package-mode": False})
    except JsonSchemaException as err:
        return str(err)
    return None


@functools.cache
def _schema(path: Path) -> Callable[[object], object]:
    """Compiled once: that takes longer than all the questions to it."""
    import fastjsonschema

    validate: Callable[[object], object] = fastjsonschema.compile(json.loads(path.read_text(encoding="utf-8")))
    return validate


def _pieces(key: str, value: object) -> Iterator[tuple[KeyPath, object]]:
    """The parts of a table that can be judged alone; nothing where it is to be judged as a whole."""
    if not isinstance(value, Mapping):
        return
    if key in (*_DEPENDENCY_TABLES, "scripts", "extras", "urls"):
        for name, item in value.items():
            yield (key, name), item
    elif key == "group":
        for group, table in value.items():
            dependencies = table.get("dependencies") if isinstance(table, Mapping) else None
            if not isinstance(dependencies, Mapping):
                yield (key, group), table
                continue
            others = {name: item for name, item in table.items() if name not in NEWER_GROUP_KEYS}
            yield (key, group), {**others, "dependencies": {}}
            for name, item in dependencies.items():
                yield (key, group, "dependencies", name), item


def _schema_problem(document: Document, path: KeyPath, piece: object, error: str) -> Problem:
    here = ("tool", "poetry", *path)
    if len(path) > 1 and path[-2] in _DEPENDENCY_TABLES:
        return _problem(document, here, "dependency", *_explain_dependency(path[-1], piece))
    found = _PLACE.fullmatch(error)
    inside = tuple(re.findall(r"[\w-]+", found[1])) if found else ()
    if path[0] == "group" and "dependencies" in error and not (isinstance(piece, Mapping) and "dependencies" in piece):
        message = "has no `dependencies`, which a group must have"
        return _problem(document, here, "group", message, f"add `[tool.poetry.group.{path[-1]}.dependencies]`")
    message = found[2] if found else error
    for short, long in (("be array", "be an array"), ("be object", "be a table"), ("be string", "be a string")):
        message = message.replace(f"must {short}", f"must {long}")
    deeper = ("tool", "poetry", *inside) if inside[: len(path)] == path else here
    kind: ProblemKind = "script" if path[0] == "scripts" else "group" if path[0] == "group" else "invalid"
    return _problem(document, deeper, kind, message)


def _explain_dependency(name: str, value: object) -> tuple[str, str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            kinds = [key for key in _KINDS_OF_DEPENDENCY if key in item]
            if not kinds:
                return (
                    "has no `version`, and no `git`, `path` or `url` either",
                    f'write `{name} = {{ version = "*", … }}`',
                )
            if len(kinds) > 1:
                named = " and ".join(f"`{kind}`" for kind in kinds)
                return f"has {named}, and only one of them can be", "remove the other"
        elif not isinstance(item, str):
            return f"must be a constraint or a table, got {item!r}", f'write `{name} = "{item}"`'
    if not value:
        return "has no constraint", f'write `{name} = "*"`'
    return "has a key, or a value, that such a dependency cannot have", _SPECIFICATION


def _dependency_problems(document: Document, app_dir: Path) -> Iterator[Problem]:
    own_name = document.poetry.get("name")
    for _, path, table in dependency_tables(document):
        for name, value in table.items():
            here = (*path, name)
            if isinstance(own_name, str) and canonicalize_name(name) == canonicalize_name(own_name):
                yield _problem(
                    document, here, "dependency", "is the project itself", "remove it, or rename the project"
                )
            # The range of Python is read elsewhere; in other groups Poetry passes over it.
            if name.lower() == "python":
                continue
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                place = (*here, str(index)) if isinstance(value, list) else here
                try:
                    check_dependency(name, item, app_dir)
                except UnreadableConstraint as err:
                    yield _problem(document, place, "constraint", f"cannot be read: {err}", _SPECIFICATION)


def _source_problems(document: Document) -> Iterator[Problem]:
    sources = document.poetry.get("source", [])
    if not isinstance(sources, list):
        yield _problem(
            document, ("tool", "poetry", "source"), "source", "must be an array", "write `[[tool.poetry.source]]`"
        )
        return
    names: set[object] = set()
    for index, source in enumerate(sources):
        here = ("tool", "poetry", "source", str(index))
        if not isinstance(source, Mapping):
            yield _problem(document, here, "source", "must be a table", "write `[[tool.poetry.source]]`")
            continue
        names.add(source.get("name"))
        yield from _problems_of_source(document, here, source)
    for _, path, table in dependency_tables(document):
        for name, value in table.items():
            for item in value if isinstance(value, list) else [value]:
                asked = item.get("source") if isinstance(item, Mapping) else None
                if asked is not None and not _is_among(asked, names):
                    message = f"names the source `{asked}`, and there is none of that name"
                    yield _problem(document, (*path, name), "source", message, "add it as `[[tool.poetry.source]]`")


def _problems_of_source(document: Document, here: KeyPath, source: Mapping[str, object]) -> Iterator[Problem]:
    name, url = source.get("name"), source.get("url")
    is_pypi = isinstance(name, str) and name.lower() == "pypi"
    if not isinstance(name, str) or not name:
        yield _problem(document, here, "source", "has no `name`", "give it one")
    elif is_pypi and url is not None:
        yield _problem(
            document, (*here, "url"), "source", "cannot be given for PyPI", "rename the source, or remove its `url`"
        )
    elif not is_pypi and (not isinstance(url, str) or not url):
        yield _problem(document, here, "source", f"`{name}` has no `url`", "add the URL of the index")
    priority = source.get("priority", "primary")
    if priority not in _PRIORITIES:
        allowed = "write " + ", ".join(f"`{item}`" for item in _PRIORITIES[:2]) + f" or `{_PRIORITIES[2]}`"
        yield _problem(document, (*here, "priority"), "source", f"cannot be `{priority}`", allowed)
    elif "priority" in source and ("default" in source or "secondary" in source):
        yield _problem(document, here, "source", "has a `priority` and the old keys for it", "keep `priority` alone")
    for key in sorted(set(source) - _SOURCE_KEYS):
        yield _problem(document, (*here, key), "source", "is no key of a source", "remove it")


_SPECIFICATION = "see https://python-poetry.org/docs/1.8/dependency-specification/"


def _is_among(name: object, names: set[object]) -> bool:
    """Poetry compares without case, and always knows PyPI."""
    lowered = {str(item).lower() for item in names} | {"pypi"}
    return str(name).lower() in lowered


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _problem(document: Document, path: KeyPath, kind: ProblemKind, message: str, change: str = "correct it") -> Problem:
    shown = ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in path[2:])
    return Problem(origin=document.origin(*path), kind=kind, message=f"`{shown}` {message}", change=change)
