"""Dependencies that are in the repository, or should be: their paths, and references of git that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from buildpacks.poetry.errors import Problem
from buildpacks.poetry.project import Dependency


def find_unusable_paths(
    dependencies: tuple[Dependency, ...], app_dir: Path, *, needed: frozenset[str]
) -> tuple[Problem, ...]:
    """Return what is wrong with where dependencies are. Paths that are not there matter for the groups in `needed` only."""
    return tuple(problem for dependency in dependencies for problem in _problems(dependency, app_dir, needed))


def _problems(dependency: Dependency, app_dir: Path, needed: frozenset[str]) -> Iterator[Problem]:
    if dependency.kind == "git":
        # git takes a reference that starts so for an option, and some of its options run programs.
        for value in (dependency.location, dependency.reference):
            if value is not None and value.startswith("-"):
                yield Problem(
                    origin=dependency.origin,
                    kind="dependency",
                    message=f"`{dependency.name}` has a git reference that starts with `-`",
                    change="name a branch, a tag or a commit",
                )
    if dependency.kind not in ("path", "file") or dependency.location is None or dependency.group not in needed:
        return
    try:
        place = (app_dir / dependency.location).resolve()
        is_inside, is_there = place.is_relative_to(app_dir.resolve()), place.exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, a loop of links
        is_inside, is_there = True, False
    shown = f"`{dependency.name}` is to be in `{dependency.location}`"
    if not is_inside:
        yield Problem(
            origin=dependency.origin,
            kind="outside",
            message=f"{shown}, which is outside of the repository",
            change="only the repository itself is in the build: bring it in, for instance as a git submodule, "
            "or depend on its git repository",
        )
    elif not is_there:
        yield Problem(
            origin=dependency.origin,
            kind="dependency",
            message=f"{shown}, and there is nothing",
            change="correct the path, or commit what belongs there",
        )
