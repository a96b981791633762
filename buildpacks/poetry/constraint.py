"""Constraints as Poetry writes them, read by Poetry's own library of them, and what they are in the words of PEP 440.

https://python-poetry.org/docs/1.8/dependency-specification/. The library, poetry-core, comes with the Poetry of the builder: the
programs of the buildpack put its directory at the end of their path.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

# poetry-core brings a copy of it and puts that first on the path: ours must be there before.
from packaging.specifiers import SpecifierSet

from buildpacks.installer.errors import MissingTool
from buildpacks.poetry.settings import DEFAULT_DIRECTORY, DEFAULT_VERSION

if TYPE_CHECKING:
    from poetry.core.constraints.version import VersionConstraint

# What any Python of a builder meets; a specifier that is empty could not be told from none.
ANY_PYTHON = ">=3"
_SHORT_RELEASE = re.compile(r"==[0-9]+(\.[0-9]+)?")


class UnreadableConstraint(ValueError):
    """A constraint that Poetry cannot read, or that nothing can meet. The message says what is wrong, in one line."""


def python_alternatives(text: str) -> tuple[str, ...]:
    """Return the PEP 440 specifiers of which one must be met, never none. Raises `UnreadableConstraint`, `MissingTool`."""
    constraint = _parse(text)
    if constraint.is_empty():
        raise UnreadableConstraint("can be met by no version")
    if constraint.is_any():
        return (ANY_PYTHON,)
    ranges = getattr(constraint, "ranges", None) or [constraint]
    found = tuple(_specifier(item) for item in ranges)
    if len(found) == 1 and _SHORT_RELEASE.fullmatch(found[0]):
        release = found[0].removeprefix("==")
        # Poetry holds `3.12` against the full version of the interpreter, and stops.
        raise UnreadableConstraint(f"means {release}.0 and no other release of it: write `~{release}` for all of them")
    return found


def allows(text: str, version: str) -> bool:
    """Return whether the constraint `text` is met by `version`. Raises `UnreadableConstraint`, `MissingTool`."""
    constraint = _parse(text)
    from poetry.core.constraints.version import Version

    return constraint.allows(Version.parse(version))


def check_dependency(name: str, constraint: str | Mapping[str, object], app_dir: Path) -> None:
    """Read one constraint of a dependency as Poetry does. Raises `UnreadableConstraint`, `MissingTool`."""
    _require_poetry_core()
    from poetry.core.factory import Factory

    # It warns of paths that are not there on stderr; what is to say of them is said elsewhere.
    logging.getLogger("poetry.core").setLevel(logging.CRITICAL)
    value = constraint if isinstance(constraint, str) else dict(constraint)
    try:
        Factory.create_dependency(name, value, root_dir=app_dir)
    except MissingTool:
        raise
    # The grammar of markers has its own errors, with no root in common; whatever it is, Poetry would not go on.
    except Exception as err:
        raise UnreadableConstraint(_first_line(err)) from err


def _parse(text: str) -> VersionConstraint:
    _require_poetry_core()
    from poetry.core.constraints.version import parse_constraint

    try:
        return parse_constraint(text)
    except ValueError as err:
        raise UnreadableConstraint("is no range of versions that Poetry can read") from err


def _specifier(constraint: object) -> str:
    from poetry.core.constraints.version import Version, VersionRange

    if isinstance(constraint, Version):
        return f"=={constraint}"
    if not isinstance(constraint, VersionRange):
        raise UnreadableConstraint(f"cannot be written as PEP 440 has it: `{constraint}`")
    parts: list[str] = []
    # `3.10.*` is a range from 3.10.dev0 to before 3.11.dev0; interpreters have no development releases.
    if constraint.min is not None:
        parts.append(f"{'>=' if constraint.include_min else '>'}{str(constraint.min).removesuffix('.dev0')}")
    if constraint.max is not None:
        parts.append(f"{'<=' if constraint.include_max else '<'}{str(constraint.max).removesuffix('.dev0')}")
    text = ",".join(parts)
    SpecifierSet(text)
    return text


def _first_line(err: Exception) -> str:
    lines = str(err).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(err).__name__


def _require_poetry_core() -> None:
    try:
        import poetry.core.constraints.version  # noqa: F401 - whether it is there
    except ImportError as err:
        looked_in = str(DEFAULT_DIRECTORY / DEFAULT_VERSION)
        raise MissingTool(tool=f"Poetry {DEFAULT_VERSION}", looked_in=looked_in) from err
