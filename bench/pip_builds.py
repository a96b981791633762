"""Times builds of a pip repository by pybuild, beside `docker build`, `buildah build` and the installers alone; prints tables.

Run as root from the checkout, on a quiet machine: `.venv/bin/python -m bench.pip_builds --rounds 3`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from bench.measure import Figures, Round, print_result, run_quietly, run_rounds, seconds_of
from bench.preparation import BASE, dockerfile_builders, load_base, remote_environment, unpacked_interpreter
from bench.ways import Builder, Changes, measure_builder, measure_pybuild
from lifecycle.cnb.layer import remove_tree
from pybuild.host import read_host_settings
from pybuild.store import store_directory
from tests.integration.command import FIXTURES, Pybuild, expect_success
from tests.integration.workplace import share_builder

CASES = ("cold", "unchanged", "code changed", "dependency added")
_PYBUILD, _UV, _PIP = "pybuild", "uv pip install", "pip install"
_PIP_VERSION = "26.3"
_DOCKERFILE = f"""\
FROM {BASE}
WORKDIR /workspace
COPY requirements.txt .
RUN --mount=type=cache,target=/var/cache/pip pip install --cache-dir /var/cache/pip -r requirements.txt
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
    builders: Sequence[Builder]

    def copy(self, directory: Path) -> Path:
        """A fresh copy of the repository."""
        return Path(shutil.copytree(self.fixture, directory))


def measure_round(bench: Bench, number: int) -> Round:
    """Figures of one round; the ways take turns so that a change of the machine's mood meets them all."""
    directory = bench.scratch / f"round-{number}"
    directory.mkdir()
    figures = {_PYBUILD: measure_own(bench, directory)}
    for builder in bench.builders:
        repository = bench.copy(directory / builder.name)
        (repository / "Dockerfile").write_text(_DOCKERFILE)
        figures[builder.name] = measure_builder(builder, repository, changes_of(bench, repository))
    figures |= {_UV: measure_uv(bench, directory), _PIP: measure_pip(bench, directory)}
    remove_tree(directory)
    return figures


def measure_own(bench: Bench, directory: Path) -> dict[str, Figures]:
    """The builder is there, the store knows nothing of the repository."""
    repository = bench.copy(directory / "pybuild")
    cache_home = share_builder(bench.store, directory / "cache-home")
    pybuild = Pybuild(env={**bench.env, "XDG_CACHE_HOME": str(cache_home)})
    figures = measure_pybuild(pybuild, repository, changes_of(bench, repository))
    remove_tree(cache_home)
    return figures


def measure_uv(bench: Bench, directory: Path) -> dict[str, Figures]:
    """Into a fresh environment: with an empty cache, with a full one, and with one requirement more."""
    env = {**bench.env, "UV_CACHE_DIR": str(directory / "uv-cache")}
    return _measure_installs(bench, directory, [uv.find_uv_bin(), "pip", "install", "--quiet"], env)


def measure_pip(bench: Bench, directory: Path) -> dict[str, Figures]:
    """As `measure_uv`, with pip's cache."""
    env = {**bench.env, "PIP_CACHE_DIR": str(directory / "pip-cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return _measure_installs(bench, directory, [], env)


def changes_of(bench: Bench, repository: Path) -> Changes:
    """What each case does to a copy of the repository."""
    program, requirements = repository / "main.py", repository / "requirements.txt"
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: None,
        lambda: program.write_text(program.read_text() + "# changed\n"),
        lambda: requirements.write_text(f"{requirements.read_text().rstrip()}\n{bench.added}\n"),
    )
    return dict(zip(CASES, changes, strict=True))


def _measure_installs(
    bench: Bench, directory: Path, uv_command: list[str], env: Mapping[str, str]
) -> dict[str, Figures]:
    figures = {}
    requirements = directory / "requirements.txt"
    for case in ("cold", "unchanged", "dependency added"):
        text = (bench.fixture / "requirements.txt").read_text().rstrip()
        requirements.write_text(f"{text}\n{bench.added if case == 'dependency added' else ''}\n")
        python = _fresh_environment(bench, directory / "environment", with_pip=not uv_command)
        command = uv_command or [str(python), "-m", "pip", "install", "--quiet"]
        target = ["--python", str(python)] if uv_command else []
        words = [*command, *target, "--requirement", str(requirements)]
        figures[case] = Figures(seconds=seconds_of(lambda: run_quietly(words, env)))  # noqa: B023
        remove_tree(directory / "environment")
    return figures


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
    parser.add_argument("--no-docker", action="store_true", help="without docker and buildah, which need root")
    arguments = parser.parse_args()
    settings = read_host_settings(os.environ, Path.home())
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    env = remote_environment(settings, scratch)
    store = store_directory(os.environ, Path.home())
    machine = Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})
    expect_success(machine("builder", "create"))
    try:
        with (
            unpacked_interpreter(store, scratch) as python,
            dockerfile_builders(scratch, env, wanted=not arguments.no_docker) as builders,
        ):
            empty = share_builder(store, scratch / "base-cache")
            load_base(builders, Pybuild(env={**env, "XDG_CACHE_HOME": str(empty)}), settings, env, scratch)
            bench = Bench(
                fixture=arguments.fixture,
                added=arguments.added,
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
