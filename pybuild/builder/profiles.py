"""`[pybuild.profiles.NAME]` of builder.toml: what images must have, and the profile that every image of this builder must meet."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lifecycle.cnb.toml import Table
from pybuild.check.profile import BUILT_IN_PROFILES, Profile, UserKind

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_PLATFORM = re.compile(r"linux/[a-z0-9]+", re.ASCII)
_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
_KNOWN_KEYS = frozenset({"description", "platform", "python", "pip", "programs", "modules", "user"})


def parse_profiles(table: Table) -> Mapping[str, Profile]:
    """All profiles by name: those that pybuild knows, and those of `table`. Raises `ConfigurationError`."""
    found = dict(BUILT_IN_PROFILES)
    for name in table.values:
        if _NAME.fullmatch(name) is None:
            raise table.error("is not a name of small letters, digits and `-`", key=name)
        if name in BUILT_IN_PROFILES:
            raise table.error("is a profile that pybuild defines: choose another name", key=name)
        found[name] = _parse_profile(name, table.table(name))
    return found


def parse_required(table: Table, profiles: Mapping[str, Profile]) -> Profile | None:
    """The profile that `require` of `[pybuild]` names; None where it names none. Raises `ConfigurationError`."""
    name = table.optional_string("require")
    if name is None:
        return None
    if name not in profiles:
        known = ", ".join(f"`{one}`" for one in sorted(profiles))
        raise table.error(f"must name a profile, got `{name}`; known are {known}", key="require")
    return profiles[name]


def _parse_profile(name: str, table: Table) -> Profile:
    table.reject_unknown(_KNOWN_KEYS)
    profile = Profile(
        name=name,
        description=table.optional_string("description") or "",
        platform=_matching(table, "platform", _PLATFORM, "is not a platform such as linux/amd64"),
        python=_parse_python(table),
        pip=table.boolean("pip", default=False),
        programs=_parse_names(table, "programs", "is not the name of a program"),
        modules=_parse_names(table, "modules", "is not the name of a Python module"),
        user=_parse_user(table),
    )
    if profile == Profile(name=name, description=profile.description):
        raise table.error(f"asks for nothing: give it one of {', '.join(sorted(_KNOWN_KEYS - {'description'}))}")
    return profile


def _parse_python(table: Table) -> SpecifierSet | None:
    text = table.optional_string("python")
    if text is None:
        return None
    try:
        found = SpecifierSet(text)
    except InvalidSpecifier as err:
        raise table.error(f"`{text}` is not a range of versions such as >=3.10,<3.14", key="python") from err
    if not text.strip():
        raise table.error("must not be empty; for example >=3.10,<3.14", key="python")
    return found


def _parse_names(table: Table, key: str, complaint: str) -> tuple[str, ...]:
    names = table.strings(key)
    for index, name in enumerate(names):
        is_name = _PROGRAM.fullmatch(name) is not None if key == "programs" else _is_module(name)
        if not is_name:
            raise table.error(f"`{name}` {complaint}", key=f"{key}[{index}]")
    return tuple(dict.fromkeys(names))


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _parse_user(table: Table) -> UserKind | None:
    text = table.optional_string("user")
    if text is None:
        return None
    if text not in {kind.value for kind in UserKind}:
        known = ", ".join(f"`{kind.value}`" for kind in UserKind)
        raise table.error(f"must be one of {known}, got `{text}`", key="user")
    return UserKind(text)


def _matching(table: Table, key: str, pattern: re.Pattern[str], complaint: str) -> str | None:
    text = table.optional_string(key)
    if text is not None and pattern.fullmatch(text) is None:
        raise table.error(f"`{text}` {complaint}", key=key)
    return text
