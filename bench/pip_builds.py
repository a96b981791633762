"""Times builds of a pip repository by pybuild, beside the installers alone and beside `docker build`; prints a table.

Run as root from the checkout, on a quiet machine: `.venv/bin/python -m bench.pip_builds --rounds 3`. See bench/README.md.
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

import uv

from bench.measure import Times, print_phases, render_table, seconds_of
from bench.preparation import BASE, load_base, optional_engine, remote_environment, run_quietly, unpacked_interpreter
from lifecycle.cnb.layer import remove_tree
from pybuild.host import read_host_settings
from pybuild.store import store_directory
from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.engine import DockerEngine
from tests.integration.workplace import share_builder

CASES = ("cold", "unchanged", "code changed", "dependency added")
_PYBUILD, _DOCKER, _UV, _PIP = "pybuild", "docker build", "uv pip install", "pip install"
_PIP_VERSION = "26.3"
_IMAGE = "bench-image"
_DOCKERFILE = f"""\
FROM {BASE}
WORKDIR /workspace
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    fixture: Path
    added: str
    """The requirement that `dependency added` adds."""
    scratch: Path
    store: Path
    """The machine's store, with the builder made."""
    python: Path
    """The builder's own interpreter, so that every way installs for the same one."""
    env: Mapping[str, str]
    """Environment with the machine's remote indexes and nothing else of its package settings."""
    engine: DockerEngine | None

    def copy(self, directory: Path) -> Path:
        """A fresh copy of the repository."""
        return Path(shutil.copytree(self.fixture, directory))


def measure_round(bench: Bench, number: int) -> Times:
    """Seconds of one round; the ways take turns so that a change of the machine's mood meets them all."""
    directory = bench.scratch / f"round-{number}"
    directory.mkdir()
    times = {
        _PYBUILD: measure_pybuild(bench, directory),
        _UV: measure_uv(bench, directory),
        _PIP: measure_pip(bench, directory),
    }
    if bench.engine is not None:
        times[_DOCKER] = measure_docker(bench, bench.engine, directory)
    remove_tree(directory)
    return times


def measure_pybuild(bench: Bench, directory: Path) -> dict[str, float]:
    """Into an OCI image layout; the builder is there, the store knows nothing of the repository."""
    repository = bench.copy(directory / "pybuild")
    cache_home = share_builder(bench.store, directory / "cache-home")
    pybuild = Pybuild(env={**bench.env, "XDG_CACHE_HOME": str(cache_home)})
    report = directory / "report.json"

    def build() -> None:
        output = f"oci:{directory / 'layout'}"
        expect_success(pybuild("build", repository, "--output", output, "--report", report))

    times = _measure_changes(build, repository, bench.added, on_case=lambda case: print_phases(case, report))
    remove_tree(cache_home)
    return times


def measure_docker(bench: Bench, engine: DockerEngine, directory: Path) -> dict[str, float]:
    """By BuildKit into the engine's own store."""
    repository = bench.copy(directory / "docker")
    (repository / "Dockerfile").write_text(_DOCKERFILE)
    engine("builder", "prune", "--all", "--force")

    def build() -> None:
        engine.run("build", "--quiet", "--network", "host", "--tag", _IMAGE, str(repository))

    times = _measure_changes(build, repository, bench.added)
    engine("image", "rm", "--force", _IMAGE)
    return times


def measure_uv(bench: Bench, directory: Path) -> dict[str, float]:
    """Into a fresh environment: with an empty cache, with a full one, and with one requirement more."""
    env = {**bench.env, "UV_CACHE_DIR": str(directory / "uv-cache")}
    return _measure_installs(bench, directory, [uv.find_uv_bin(), "pip", "install", "--quiet"], env)


def measure_pip(bench: Bench, directory: Path) -> dict[str, float]:
    """As `measure_uv`, with pip's cache."""
    env = {**bench.env, "PIP_CACHE_DIR": str(directory / "pip-cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return _measure_installs(bench, directory, [], env)


def _measure_changes(
    build: Callable[[], None], repository: Path, added: str, on_case: Callable[[str], None] | None = None
) -> dict[str, float]:
    """Seconds of `build` after each change of the repository, in the order of `CASES`."""
    program, requirements = repository / "main.py", repository / "requirements.txt"
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: None,
        lambda: program.write_text(program.read_text() + "# changed\n"),
        lambda: requirements.write_text(f"{requirements.read_text().rstrip()}\n{added}\n"),
    )
    times = {}
    for case, change in zip(CASES, changes, strict=True):
        change()
        times[case] = seconds_of(build)
        if on_case is not None:
            on_case(case)
    return times


def _measure_installs(bench: Bench, directory: Path, uv_command: list[str], env: Mapping[str, str]) -> dict[str, float]:
    times = {}
    requirements = directory / "requirements.txt"
    for case in ("cold", "unchanged", "dependency added"):
        text = (bench.fixture / "requirements.txt").read_text().rstrip()
        requirements.write_text(f"{text}\n{bench.added if case == 'dependency added' else ''}\n")
        python = _fresh_environment(bench, directory / "environment", with_pip=not uv_command)
        command = uv_command or [str(python), "-m", "pip", "install", "--quiet"]
        target = ["--python", str(python)] if uv_command else []
        times[case] = seconds_of(lambda: run_quietly([*command, *target, "--requirement", str(requirements)], env))  # noqa: B023
        remove_tree(directory / "environment")
    return times


def _fresh_environment(bench: Bench, directory: Path, *, with_pip: bool) -> Path:
    """Interpreter of a new virtual environment; making it is not measured."""
    python = directory / "bin" / "python"
    run_quietly([uv.find_uv_bin(), "venv", "--quiet", "--python", str(bench.python), str(directory)], bench.env)
    if with_pip:
        run_quietly(
            [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), f"pip=={_PIP_VERSION}"], bench.env
        )
    return python


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fixture", type=Path, default=FIXTURES / "pip_data_science")
    parser.add_argument("--added", default="tabulate==0.9.0", help="the requirement that is added")
    parser.add_argument("--no-docker", action="store_true", help="without `docker build`, which needs root")
    arguments = parser.parse_args()
    settings = read_host_settings(os.environ, Path.home())
    env = remote_environment(settings)
    store = store_directory(os.environ, Path.home())
    machine = Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})
    expect_success(machine("builder", "create"))
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    try:
        with unpacked_interpreter(store, scratch) as python, optional_engine(wanted=not arguments.no_docker) as engine:
            if engine is not None:
                empty = share_builder(store, scratch / "base-cache")
                load_base(engine, Pybuild(env={**env, "XDG_CACHE_HOME": str(empty)}), settings, env, scratch)
            bench = Bench(
                fixture=arguments.fixture,
                added=arguments.added,
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
    print("\n".join(render_table(rounds, (_PYBUILD, _DOCKER, _UV, _PIP), CASES)))


if __name__ == "__main__":
    main()
