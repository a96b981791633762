"""What only Poetry 2 reads. Poetry 1.8.3 says "All set!" of some of it, and installs nothing.

https://python-poetry.org/blog/announcing-poetry-2.0.0/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.utils import canonicalize_name

from buildpacks.poetry.constraint import UnreadableConstraint, allows
from buildpacks.poetry.document import Document
from buildpacks.poetry.errors import Problem
from buildpacks.poetry.settings import DEFAULT_VERSION, VERSION_VARIABLE, Settings

# Keys of `[tool.poetry]` that 1.8.3 does not know, with the release that brought them.
# https://python-poetry.org/history/
NEWER_KEYS = {"requires-poetry": "2.0", "requires-plugins": "2.0", "build-constraints": "2.3"}
# The same of a group.
NEWER_GROUP_KEYS = {"include-groups": "2.2"}
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
# What a package must have, and what may be in `[project]` instead for Poetry 2.
PACKAGE_KEYS = ("name", "version", "description", "authors")
# An excerpt: there may be hundreds.
_SHOWN = 4


def find_newer(document: Document, settings: Settings) -> tuple[Problem, ...]:
    """Return what this version of Poetry would pass over or refuse, each key with the way out."""
    if settings.version.major >= 2:
        return tuple(_unmet_poetry(document, settings))
    return (*_newer_keys(document), *_only_in_project(document))


def list_passed_over(document: Document, settings: Settings) -> tuple[str, ...]:
    """Return notices of what is in `[project]` and is not missed by the installation itself."""
    project = document.project
    if project is None or settings.version.major >= 2:
        return ()
    poetry = document.poetry
    found = []
    for key, here in (("scripts", "scripts"), ("optional-dependencies", "extras")):
        names = _names(project.get(key)) - _names(poetry.get(here))
        if names:
            what = f"`project.{key}` ({_listed(sorted(names))})"
            found.append(
                f"{document.origin('project', key)}: Poetry {settings.version.text} does not read {what}: "
                f"write it as `[tool.poetry.{here}]`, or build with `{VERSION_VARIABLE}=2.x`"
            )
    return tuple(found)


def project_dependencies(document: Document) -> tuple[str, ...]:
    """Return the names that `project.dependencies` has, as they are written, without repetitions."""
    listed = (document.project or {}).get("dependencies")
    texts = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    return tuple(dict.fromkeys(found[1] for found in map(_NAME.match, texts) if found))


def _newer_keys(document: Document) -> Iterator[Problem]:
    for key, release in NEWER_KEYS.items():
        if key not in document.poetry:
            continue
        value = document.poetry[key]
        asked = f" = {value!r}".replace("'", '"') if isinstance(value, str) else ""
        yield Problem(
            origin=document.origin("tool", "poetry", key),
            kind="needs-newer-poetry",
            message=f"`{key}{asked}` is a key of Poetry {release} and later, which Poetry {DEFAULT_VERSION} refuses",
            change="remove the key",
        )
    groups = document.poetry.get("group")
    for group, table in groups.items() if isinstance(groups, Mapping) else ():
        for key, release in NEWER_GROUP_KEYS.items():
            if isinstance(table, Mapping) and key in table:
                yield Problem(
                    origin=document.origin("tool", "poetry", "group", group, key),
                    kind="needs-newer-poetry",
                    message=f"`tool.poetry.group.{group}.{key}` is a key of Poetry {release} and later",
                    change=f"list the dependencies of those groups in `{group}`",
                )


def _only_in_project(document: Document) -> Iterator[Problem]:
    project, poetry = document.project, document.poetry
    if project is None:
        return
    own = _names(poetry.get("dependencies"))
    if poetry.get("package-mode", True) is True:
        for key in PACKAGE_KEYS:
            if key in project and key not in poetry:
                yield _project_problem(
                    document, key, f"`{key}` is only in `[project]`", f"write `{key}` in `[tool.poetry]`"
                )
    if "requires-python" in project and "python" not in own:
        yield _project_problem(
            document,
            "requires-python",
            "the range of Python is only in `[project]`",
            f"write `python = {_quoted(project['requires-python'])}` in `[tool.poetry.dependencies]`",
        )
    missing = [name for name in project_dependencies(document) if canonicalize_name(name) not in own]
    if missing:
        are, them = ("dependency is", "it") if len(missing) == 1 else ("dependencies are", "them")
        message = f"{len(missing)} {are} only in `[project]` ({_listed(missing)})"
        yield _project_problem(document, "dependencies", message, f"write {them} in `[tool.poetry.dependencies]`")


def _project_problem(document: Document, key: str, message: str, change: str) -> Problem:
    return Problem(
        origin=document.origin("project", key),
        kind="needs-newer-poetry",
        message=f"{message}, which Poetry {DEFAULT_VERSION} does not read",
        change=change,
    )


def _unmet_poetry(document: Document, settings: Settings) -> Iterator[Problem]:
    asked = document.poetry.get("requires-poetry")
    # Of `2.1` it is not known yet which release that is; Poetry itself will say.
    if not isinstance(asked, str) or not settings.version.is_exact:
        return
    try:
        is_met = allows(asked, settings.version.text)
    except UnreadableConstraint:
        return
    if not is_met:
        yield Problem(
            origin=document.origin("tool", "poetry", "requires-poetry"),
            kind="invalid",
            message=f'`requires-poetry = "{asked}"` is not met by Poetry {settings.version.text}',
            change=f"ask for another with `{VERSION_VARIABLE}`",
        )


def _names(value: object) -> set[str]:
    """The keys of a table, in the form in which names are compared; none of what is no table."""
    return {canonicalize_name(str(key)) for key in value} if isinstance(value, Mapping) else set()


def _listed(names: list[str]) -> str:
    hidden = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else '"…"'
