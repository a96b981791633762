"""The names of `pybuild.__all__`, by what they are for, as directives of Sphinx's autodoc: the second half of docs/reference.md."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType

import pybuild

OWN_PACKAGES = ("buildpacks", "lifecycle", "pybuild")
# Modules whose names have a part of their own, and its heading
_PARTS = {
    "pybuild.events": "Events",
    "pybuild.environments": "Environments",
    "pybuild.workspaces": "Workspaces",
}
_BUILDING, _ERRORS = "Building", "Errors"
_ORDER = (_BUILDING, "Events", _ERRORS, "Environments", "Workspaces")


def render_reference() -> str:
    """The Markdown of all public names, of what is for asyncio, and of the types that public ones have in them."""
    parts: dict[str, list[str]] = {title: [] for title in _ORDER}
    for name in public_names():
        parts[_part_of(name)].append(name)
    sections = [_section(title, [_links(names), *map(_directive, names)]) for title, names in parts.items() if names]
    sections.append(_section("asyncio", [".. automodule:: pybuild.aio\n   :members:"]))
    inner = sorted(inner_types(getattr(pybuild, name) for name in pybuild.__all__), key=lambda one: one.__name__)
    sections.append(
        _section("Types within these", (_class(f"{one.__module__}.{one.__qualname__}", one) for one in inner))
    )
    return "\n".join(sections)


def public_names() -> list[str]:
    """All but the modules: functions, classes, then what is neither, each by name."""
    names = [name for name in pybuild.__all__ if not inspect.ismodule(getattr(pybuild, name))]
    return sorted(names, key=lambda name: (_kind(getattr(pybuild, name)), name))


def alias_names() -> list[str]:
    """Those that stand for other types."""
    return [name for name in public_names() if _kind(getattr(pybuild, name)) == 2 and name != "__version__"]


def inner_types(values: Iterable[object]) -> set[type]:
    """The project's own types that fields, parameters and results of the values have, and those of these, without the values."""
    waiting = list(values)
    known = [value for value in waiting if isinstance(value, type)]
    found: set[type] = set()
    while waiting:
        for one in _mentioned(waiting.pop()):
            if one not in found and one not in known:
                found.add(one)
                waiting.append(one)
    return {one for one in found if not one.__name__.startswith("_")}


def public_bases(bases: Iterable[type]) -> list[type]:
    """The bases of a class, with those of a private one in its place."""
    return [
        public
        for base in bases
        for public in (public_bases(base.__bases__) if base.__name__.startswith("_") else [base])
        if public is not object
    ]


@functools.cache
def names_for_types(module: str) -> Mapping[str, object]:
    """What a module imports for type checkers only, which its annotations have nevertheless."""
    statements = ast.parse(inspect.getsource(importlib.import_module(module))).body
    guarded = [one for one in statements if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING"]
    return {
        alias.asname or alias.name: getattr(importlib.import_module(imported.module), alias.name)
        for statement in guarded
        for imported in statement.body
        if isinstance(imported, ast.ImportFrom) and imported.module is not None
        for alias in imported.names
    }


def _part_of(name: str) -> str:
    value = getattr(pybuild, name)
    if inspect.isclass(value) and issubclass(value, BaseException):
        return _ERRORS
    module = pybuild._MODULE_OF.get(name, "")
    return next((title for prefix, title in _PARTS.items() if f"{module}.".startswith(f"{prefix}.")), _BUILDING)


def _kind(value: object) -> int:
    return 0 if inspect.isroutine(value) else 1 if inspect.isclass(value) else 2


def _section(title: str, directives: Iterable[str]) -> str:
    return f"\n## {title}\n\n```{{eval-rst}}\n" + "\n\n".join(directives) + "\n```\n"


def _links(names: Iterable[str]) -> str:
    return ", ".join(f":py:obj:`~pybuild.{name}`" for name in names)


def _directive(name: str) -> str:
    value = getattr(pybuild, name)
    path = f"pybuild.{name}"
    if inspect.isroutine(value):
        return f".. autofunction:: {path}"
    if inspect.isclass(value):
        return _class(path, value)
    if isinstance(value, str):
        return f".. py:data:: {path}\n   :type: str"
    return f".. py:type:: {path}\n   :canonical: {value}"


def _class(path: str, value: type) -> str:
    kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
    options = ["members", "undoc-members", *(["show-inheritance"] if public_bases(value.__bases__) else [])]
    return "\n".join([f".. {kind}:: {path}", *(f"   :{option}:" for option in options)])


def _mentioned(value: object) -> Iterator[type]:
    annotated: list[type | FunctionType]
    if inspect.isclass(value):
        yield from (base for base in value.__mro__ if _is_own(base))
        members = [member for name, member in vars(value).items() if not name.startswith("_") or name == "__init__"]
        annotated = [value, *(function for function in map(_function, members) if function is not None)]
    elif isinstance(value, FunctionType):
        annotated = [value]
    else:
        yield from _types_in(value)
        return
    for one in annotated:
        for hint in typing.get_type_hints(one, localns=names_for_types(one.__module__)).values():
            yield from _types_in(hint)


def _function(member: object) -> FunctionType | None:
    if isinstance(member, property):
        member = member.fget
    member = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
    return member if isinstance(member, FunctionType) else None


def _types_in(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and _is_own(hint):
        yield hint
    for argument in hint if isinstance(hint, (list, tuple)) else typing.get_args(hint):
        yield from _types_in(argument)


def _is_own(value: type) -> bool:
    return value.__module__.partition(".")[0] in OWN_PACKAGES
