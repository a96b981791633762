"""What a project in package mode must have beside pyproject.toml: its package, and its readme.

Poetry's own library finds the package: https://python-poetry.org/docs/1.8/pyproject/#packages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from buildpacks.poetry.document import Document
from buildpacks.poetry.errors import Problem


def find_missing_parts(document: Document, app_dir: Path) -> tuple[Problem, ...]:
    """Return what is missing of the package. For a valid table in package mode. Raises `MissingTool`."""
    return (*_package_problems(document, app_dir), *_readme_problems(document, app_dir))


def _package_problems(document: Document, app_dir: Path) -> Iterator[Problem]:
    from poetry.core.masonry.utils.module import Module
    from poetry.core.utils.helpers import module_name

    name = str(document.poetry["name"])
    packages = _tables(document.poetry.get("packages"))
    # A build script may make what is not there yet.
    if "build" in document.poetry:
        return
    if packages:
        for index, package in enumerate(packages):
            try:
                Module(name, app_dir.as_posix(), packages=[package])
            except (ValueError, NotImplementedError, OSError) as err:
                where = "/".join(str(package[key]) for key in ("from", "include") if key in package)
                reason = "is no package" if "is not a package" in str(err) else "is not there"
                yield Problem(
                    origin=document.origin("tool", "poetry", "packages", str(index), "include"),
                    kind="no-package",
                    message=f"`{where}`, which is to be a package of the project, {reason}",
                    change="correct `packages`",
                )
        return
    try:
        Module(name, app_dir.as_posix())
    except (ValueError, OSError) as err:
        module = module_name(name)
        places = f"`{module}`, `{module}.py`, `src/{module}`, `src/{module}.py`"
        is_double = "Both" in str(err)
        is_empty = "is not a package" in str(err)
        message = f"there is no package `{module}` for the project `{name}`: looked for {places}"
        if is_double:
            message = f"there is a package `{module}` as well as a module `{module}.py`"
        elif is_empty:
            message = f"the directory `{module}` of the project `{name}` has no module, so that it is no package"
        yield Problem(
            origin=document.origin("tool", "poetry", "name"),
            kind="no-package",
            message=message,
            change="keep one of the two" if is_double else "name the package in `packages`",
        )


def _readme_problems(document: Document, app_dir: Path) -> Iterator[Problem]:
    for index, readme in enumerate(readmes(document)):
        if (app_dir / readme).is_file():
            continue
        yield Problem(
            origin=document.origin("tool", "poetry", "readme", str(index)),
            kind="no-readme",
            message=f"the readme `{readme}` is not there",
            change="add the file, or remove the key",
        )


def readmes(document: Document) -> tuple[str, ...]:
    """Return the readme files of a valid table."""
    value = document.poetry.get("readme", [])
    return tuple(str(item) for item in (value if isinstance(value, list) else [value]))


def _tables(value: object) -> tuple[Mapping[str, object], ...]:
    return tuple(item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()
