"""Times builds of a Poetry repository by pybuild, beside Poetry itself and beside `docker build`; prints a table.

Run as root from the checkout, on a quiet machine: `.venv/bin/python -m bench.poetry_builds --rounds 3`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Times, print_phases, render_table, seconds_of
from bench.preparation import BASE, load_base, optional_engine, remote_environment
from lifecycle.cnb.layer import remove_tree
from pybuild.host import read_host_settings
from pybuild.store import store_directory
from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.engine import DockerEngine
from tests.integration.poetry_build import image_python
from tests.integration.real_poetry import MIRROR_PLUGIN, POETRY_VERSION, RealPoetry, real_poetry
from tests.integration.workplace import share_builder

CASES = ("cold", "unchanged", "code changed", "dependency added")
_PYBUILD, _DOCKER, _POETRY = "pybuild", "docker build", "poetry install"
_IMAGE = "bench-image"
_INSTALL = ("install", "--only", "main", "--no-root")
# The environment of the base is active, so Poetry installs into that. The plugin is there for indexes without JSON pages.
_DOCKERFILE = f"""\
FROM {BASE} AS poetry
RUN pip install --no-cache-dir poetry=={POETRY_VERSION} {MIRROR_PLUGIN}

FROM poetry
WORKDIR /workspace
COPY pyproject.toml poetry.lock ./
RUN poetry {" ".join(_INSTALL)} --no-interaction --no-cache
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
    engine: DockerEngine | None


def measure_round(bench: Bench, number: int) -> Times:
    """Seconds of one round; the ways take turns so that a change of the machine's mood meets them all."""
    directory = bench.scratch / f"round-{number}"
    directory.mkdir()
    times = {_PYBUILD: measure_pybuild(bench, directory), _POETRY: measure_poetry(bench, directory)}
    if bench.engine is not None:
        times[_DOCKER] = measure_docker(bench, bench.engine, directory)
    remove_tree(directory)
    return times


def measure_pybuild(bench: Bench, directory: Path) -> dict[str, float]:
    """Into an OCI image layout; the builder is there, the store knows nothing of the repository."""
    repository = Path(shutil.copytree(bench.repository, directory / "pybuild"))
    cache_home = share_builder(bench.store, directory / "cache-home")
    builds = Builds(pybuild=Pybuild(env={**bench.env, "XDG_CACHE_HOME": str(cache_home)}), directory=directory)
    report = directory / "report.json"
    times = _measure_changes(
        bench, lambda: builds.build(repository), repository, on_case=lambda case: print_phases(case, report)
    )
    remove_tree(cache_home)
    return times


def measure_docker(bench: Bench, engine: DockerEngine, directory: Path) -> dict[str, float]:
    """By BuildKit into the engine's own store. The cold build installs Poetry, as that of everyone with this Dockerfile does."""
    repository = Path(shutil.copytree(bench.repository, directory / "docker"))
    (repository / "Dockerfile").write_text(_DOCKERFILE)
    engine("builder", "prune", "--all", "--force")

    def build(*options: str) -> None:
        engine.run("build", "--quiet", "--network", "host", "--tag", _IMAGE, *options, str(repository))

    own = seconds_of(lambda: build("--target", "poetry"))
    print(f"  docker build, cold: {own:.1f} s of it for Poetry itself", flush=True)
    times = _measure_changes(bench, build, repository)
    engine("image", "rm", "--force", _IMAGE)
    return {**times, "cold": times["cold"] + own}


def measure_poetry(bench: Bench, directory: Path) -> dict[str, float]:
    """Into a fresh environment, making which is not measured: with an empty cache, with a full one, and with one dependency more."""
    poetry = real_poetry(directory / "poetry", bench.env)
    times = {}
    for case in ("cold", "unchanged", "dependency added"):
        repository = bench.changed if case == "dependency added" else bench.repository
        environment = poetry.new_environment(bench.python)
        times[case] = seconds_of(lambda: poetry(repository, *_INSTALL, environment=environment))  # noqa: B023
    remove_tree(directory / "poetry")
    return times


def _measure_changes(
    bench: Bench, build: Callable[[], object], repository: Path, on_case: Callable[[str], None] | None = None
) -> dict[str, float]:
    """Seconds of `build` after each change of the repository, in the order of `CASES`."""
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
    times = {}
    for case, change in zip(CASES, changes, strict=True):
        change()
        times[case] = seconds_of(build)
        if on_case is not None:
            on_case(case)
    return times


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
    parser.add_argument("--no-docker", action="store_true", help="without `docker build`, which needs root")
    arguments = parser.parse_args()
    settings = read_host_settings(os.environ, Path.home())
    env = remote_environment(settings)
    store = store_directory(os.environ, Path.home())
    expect_success(Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})("builder", "create"))
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    try:
        with optional_engine(wanted=not arguments.no_docker) as engine:
            empty = Pybuild(env={**env, "XDG_CACHE_HOME": str(share_builder(store, scratch / "base-cache"))})
            builds = Builds(pybuild=empty, directory=scratch)
            (scratch / "probe").mkdir()
            (scratch / "probe" / "pyproject.toml").write_text(_EMPTY)
            builds.build(scratch / "probe")
            python = image_python(builds, store)
            poetry = real_poetry(scratch / "poetry", env)
            if engine is not None:
                project = ("pyproject.toml", _EMPTY)
                load_base(engine, empty, settings, {**env, **poetry.index_settings}, scratch, empty_project=project)
            repository, changed = prepare_repositories(arguments.fixture, arguments.added, poetry, python, scratch)
            bench = Bench(
                repository=repository,
                changed=changed,
                scratch=scratch,
                store=store,
                python=python,
                env=env,
                engine=engine,
            )
            rounds = []
            for number in range(1, arguments.rounds + 1):
                print(f"round {number} of {arguments.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
                rounds.append(measure_round(bench, number))
    finally:
        remove_tree(scratch)
    print(
        f"\n{arguments.fixture.name}, {arguments.rounds} rounds, median (least–most), {os.cpu_count()} cores, {platform.platform()}\n"
    )
    print("A ratio is the time over pybuild's in the same row: above 1, pybuild is faster.\n")
    print("\n".join(render_table(rounds, (_PYBUILD, _DOCKER, _POETRY), CASES)))


if __name__ == "__main__":
    main()
