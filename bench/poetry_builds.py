"""Times builds of a Poetry repository by pybuild, beside `docker build`, `buildah build` and Poetry itself; prints tables.

Run as root from the checkout, on a quiet machine: `.venv/bin/python -m bench.poetry_builds --rounds 3`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Figures, Round, print_result, run_rounds, seconds_of
from bench.preparation import BASE, dockerfile_builders, load_base, remote_environment
from bench.ways import Builder, Changes, measure_builder, measure_pybuild
from lifecycle.cnb.layer import remove_tree
from pybuild.host import read_host_settings
from pybuild.store import store_directory
from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.poetry_build import image_python
from tests.integration.real_poetry import MIRROR_PLUGIN, POETRY_VERSION, RealPoetry, real_poetry
from tests.integration.workplace import share_builder

CASES = ("cold", "unchanged", "code changed", "dependency added")
_PYBUILD, _POETRY = "pybuild", "poetry install"
_INSTALL = ("install", "--only", "main", "--no-root")
# The environment of the base is active, so Poetry installs into that. The plugin is there for indexes without JSON pages. Poetry
# is in the base, because it is in pybuild's builder.
_IN_BASE = f"RUN pip install --no-cache-dir poetry=={POETRY_VERSION} {MIRROR_PLUGIN}"
_DOCKERFILE = f"""\
FROM {BASE}
WORKDIR /workspace
COPY pyproject.toml poetry.lock ./
RUN --mount=type=cache,target=/var/cache/pypoetry POETRY_CACHE_DIR=/var/cache/pypoetry poetry {" ".join(_INSTALL)} --no-interaction
COPY . .
"""
_EMPTY = """\
[tool.poetry]
name = "empty"
version = "0"
description = ""
authors = []
package-mode = false

[tool.poetry.dependencies]
python = "^3.12"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    repository: Path
    """Locked."""
    changed: Path
    """The same with one dependency more, locked."""
    scratch: Path
    store: Path
    """The machine's store, with the builder made."""
    python: Path
    """The builder's own interpreter, so that every way installs for the same one."""
    env: Mapping[str, str]
    """Environment with the machine's remote indexes and nothing else of its package settings."""
    builders: Sequence[Builder]


def measure_round(bench: Bench, number: int) -> Round:
    """Figures of one round; the ways take turns so that a change of the machine's mood meets them all."""
    directory = bench.scratch / f"round-{number}"
    directory.mkdir()
    figures = {_PYBUILD: measure_own(bench, directory)}
    for builder in bench.builders:
        repository = Path(shutil.copytree(bench.repository, directory / builder.name))
        (repository / "Dockerfile").write_text(_DOCKERFILE)
        figures[builder.name] = measure_builder(builder, repository, changes_of(bench, repository))
    figures[_POETRY] = measure_poetry(bench, directory)
    remove_tree(directory)
    return figures


def measure_own(bench: Bench, directory: Path) -> dict[str, Figures]:
    """The builder is there, the store knows nothing of the repository."""
    repository = Path(shutil.copytree(bench.repository, directory / "pybuild"))
    cache_home = share_builder(bench.store, directory / "cache-home")
    pybuild = Pybuild(env={**bench.env, "XDG_CACHE_HOME": str(cache_home)})
    figures = measure_pybuild(pybuild, repository, changes_of(bench, repository))
    remove_tree(cache_home)
    return figures


def measure_poetry(bench: Bench, directory: Path) -> dict[str, Figures]:
    """Into a fresh environment, making which is not measured: with an empty cache, with a full one, and with one dependency more."""
    poetry = real_poetry(directory / "poetry", bench.env)
    figures = {}
    for case in ("cold", "unchanged", "dependency added"):
        repository = bench.changed if case == "dependency added" else bench.repository
        environment = poetry.new_environment(bench.python)
        seconds = seconds_of(lambda: poetry(repository, *_INSTALL, environment=environment))  # noqa: B023
        figures[case] = Figures(seconds=seconds)
    remove_tree(directory / "poetry")
    return figures


def changes_of(bench: Bench, repository: Path) -> Changes:
    """What each case does to a copy of the repository."""
    program = repository / "main.py"

    def add() -> None:
        for name in ("pyproject.toml", "poetry.lock"):
            shutil.copyfile(bench.changed / name, repository / name)

    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: None,
        lambda: program.write_text(program.read_text() + "# changed\n"),
        add,
    )
    return dict(zip(CASES, changes, strict=True))


def prepare_repositories(
    fixture: Path, added: str, poetry: RealPoetry, python: Path, directory: Path
) -> tuple[Path, Path]:
    """A locked copy of the fixture, and another with the line `added` among its dependencies."""
    repository, changed = (Path(shutil.copytree(fixture, directory / name)) for name in ("locked", "changed"))
    poetry.lock(repository, python)
    # With the lock of before, so that nothing changes but what is added.
    shutil.copyfile(repository / "poetry.lock", changed / "poetry.lock")
    project = changed / "pyproject.toml"
    head = "[tool.poetry.dependencies]\n"
    project.write_text(project.read_text().replace(head, f"{head}{added}\n"))
    poetry(changed, "lock", "--no-update", environment=poetry.new_environment(python))
    return repository, changed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fixture", type=Path, default=FIXTURES / "poetry_renku")
    parser.add_argument("--added", default='tabulate = "0.9.0"', help="the line that is added to the dependencies")
    parser.add_argument("--no-docker", action="store_true", help="without docker and buildah, which need root")
    arguments = parser.parse_args()
    settings = read_host_settings(os.environ, Path.home())
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    env = remote_environment(settings, scratch)
    store = store_directory(os.environ, Path.home())
    expect_success(Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})("builder", "create"))
    try:
        with (
            dockerfile_builders(scratch, env, wanted=not arguments.no_docker) as builders,
        ):
            empty = Pybuild(env={**env, "XDG_CACHE_HOME": str(share_builder(store, scratch / "base-cache"))})
            builds = Builds(pybuild=empty, directory=scratch)
            (scratch / "probe").mkdir()
            (scratch / "probe" / "pyproject.toml").write_text(_EMPTY)
            builds.build(scratch / "probe")
            python = image_python(builds, store, builds.directory)
            poetry = real_poetry(scratch / "poetry", env)
            project = ("pyproject.toml", _EMPTY)
            load_base(
                builders,
                empty,
                settings,
                {**env, **poetry.index_settings},
                scratch,
                empty_project=project,
                more=[_IN_BASE],
            )
            repository, changed = prepare_repositories(arguments.fixture, arguments.added, poetry, python, scratch)
            bench = Bench(
                repository=repository,
                changed=changed,
                scratch=scratch,
                store=store,
                python=python,
                env=env,
                builders=builders,
            )
            rounds = run_rounds(arguments.rounds, lambda number: measure_round(bench, number))
    finally:
        remove_tree(scratch)
    print_result(arguments.fixture.name, rounds, CASES)


if __name__ == "__main__":
    main()
