"""Times builds of a conda repository by pybuild, beside rattler's own solve and installation; prints a table.

Run from the checkout, on a quiet machine: `.venv/bin/python -m bench.conda_builds --rounds 3`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Times, print_phases, render_table, seconds_of
from bench.preparation import run_quietly
from lifecycle.cnb.layer import remove_tree
from pybuild.store import store_directory
from tests.integration.command import Pybuild, expect_success, ordinary_environment
from tests.integration.conda_build import as_mirror, write_environment
from tests.integration.conda_channel import CONDA_FORGE, machine_channels, make_channel
from tests.integration.conda_packages import CondaPackage, Content, python_package
from tests.integration.conda_server import ChannelServer, without_proxies
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.workplace import share_builder

CASES = ("cold", "unchanged", "code changed", "pip line changed", "dependency added")
_PYBUILD, _RATTLER, _COMPILED = "pybuild", "rattler", "rattler and compileall"
# A data-science environment: 60 packages with 15 000 files, a third of them C libraries and data.
_PYTHON_PACKAGES, _MODULES = 40, 250
_DATA_PACKAGES, _DATA_FILES = 20, 100
_ADDED = "added"
# It ends without the interpreter's own end, which rattler's threads may not survive.
_RATTLER_PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from rattler import *
channel, prefix, cache, *specs = sys.argv[1:]
target = {"__unix": "0", "__linux": "0", "__glibc": "2.36", "__archspec": "1"}
async def main():
    records = await solve(
        [Channel(channel)], [MatchSpec(spec, strict=False) for spec in specs],
        gateway=Gateway(cache_dir=Path(cache, "repodata")), platforms=["linux-64", "noarch"],
        virtual_packages=[
            GenericVirtualPackage(PackageName(name), Version(version), BuildString("0")) for name, version in target.items()
        ],
    )
    await install(records, prefix, cache_dir=Path(cache, "packages"), show_progress=False)
asyncio.run(main())
os._exit(0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    server: ChannelServer
    index: PackageIndex
    dependencies: tuple[str, ...]
    scratch: Path
    store: Path
    """The machine's store, with the builder made."""
    env: Mapping[str, str]


def measure_round(bench: Bench, number: int) -> Times:
    """Seconds of one round; the ways take turns so that a change of the machine's mood meets them all."""
    directory = bench.scratch / f"round-{number}"
    directory.mkdir()
    times = {
        _PYBUILD: measure_pybuild(bench, directory),
        _RATTLER: measure_rattler(bench, directory, with_bytecode=False),
        _COMPILED: measure_rattler(bench, directory, with_bytecode=True),
    }
    remove_tree(directory)
    return times


def measure_pybuild(bench: Bench, directory: Path) -> dict[str, float]:
    """Into an OCI image layout; the builder is there, the store knows nothing of the repository."""
    repository = write_environment(directory / "repository", bench.dependencies, pip=["alpha==1.0"])
    program = repository / "main.py"
    program.write_text("import alpha\n")
    cache_home = share_builder(bench.store, directory / "cache-home")
    pybuild = Pybuild(env={**bench.env, "XDG_CACHE_HOME": str(cache_home)}).with_env(**bench.index.settings())
    report = directory / "report.json"
    settings = [word for name, value in as_mirror(bench.server).items() for word in ("--env", f"{name}={value}")]

    def build() -> None:
        output = f"oci:{directory / 'layout'}"
        expect_success(pybuild("build", repository, "--output", output, "--report", report, *settings))

    more = [*bench.dependencies, _ADDED]
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: None,
        lambda: program.write_text("import alpha  # changed\n"),
        lambda: write_environment(repository, bench.dependencies, pip=["alpha==2.0"]),
        lambda: write_environment(repository, more, pip=["alpha==2.0"]),
    )
    times = {}
    for case, change in zip(CASES, changes, strict=True):
        change()
        times[case] = seconds_of(build)
        print_phases(case, report)
    remove_tree(cache_home)
    return times


def measure_rattler(bench: Bench, directory: Path, *, with_bytecode: bool) -> dict[str, float]:
    """Into a fresh directory: with an empty cache, with a full one, and with one dependency more."""
    prefix = directory / "prefix"
    times = {}
    for case in ("cold", "unchanged", "dependency added"):
        specs = [*bench.dependencies, *([_ADDED] if case == "dependency added" else [])]
        command = [sys.executable, "-c", _RATTLER_PROGRAM, f"{bench.server.url}/{CONDA_FORGE}"]
        command += [str(prefix), str(directory / "rattler-cache"), *specs]

        def install() -> None:
            run_quietly(command, bench.env)  # noqa: B023
            if with_bytecode:
                compiling = ["-m", "compileall", "-q", "-j", "0", str(prefix / "lib")]
                run_quietly([str(prefix / "bin/python"), *compiling], bench.env)

        times[case] = seconds_of(install)
        remove_tree(prefix)
    remove_tree(directory / "rattler-cache")
    return times


def make_data_science_channel(directory: Path, machine: Path) -> tuple[str, ...]:
    """A channel with a big environment in `directory`; the dependencies that ask for all of it.

    Python and pip are those of the machine's test channel.
    """
    for subdir in ("linux-64", "noarch"):
        (directory / subdir).mkdir(parents=True)
        for pattern in ("python-3.10.*.conda", "pip-*.conda"):
            for package in (machine / subdir).glob(pattern):
                shutil.copy(package, directory / subdir)
    # The same bytes in every run, and such as compress no better than what people have.
    source = random.Random(1)
    packages = [_python_package(f"science-{number}", source) for number in range(_PYTHON_PACKAGES)]
    packages += [_data_package(f"library-{number}", source) for number in range(_DATA_PACKAGES)]
    make_channel(directory, [*packages, _python_package(_ADDED, source)])
    return ("python=3.10", "pip", *(package.name for package in packages))


def _python_package(name: str, source: random.Random) -> CondaPackage:
    package = name.replace("-", "_")
    modules = {f"{package}/__init__.py": ""}
    for number in range(_MODULES):
        functions = "\n\n".join(
            f"def function_{source.getrandbits(32)}(first, second={source.getrandbits(16)}):\n"
            f'    """Return {source.getrandbits(64):x}."""\n    return [first + second, {source.getrandbits(48)}]\n'
            for _ in range(12)
        )
        modules[f"{package}/module_{number}.py"] = functions
    return python_package(name, modules=modules)


def _data_package(name: str, source: random.Random) -> CondaPackage:
    files: dict[str, Content] = {
        f"share/{name}/data-{number}.bin": source.randbytes(12_000) + bytes(12_000) for number in range(_DATA_FILES)
    }
    return CondaPackage(name=name, build_prefix="h1", files=files)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    env = ordinary_environment(Path("/nowhere"))
    env = {name: value for name, value in env.items() if name not in without_proxies()}
    store = store_directory(os.environ, Path.home())
    expect_success(Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})("builder", "create"))
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    try:
        dependencies = make_data_science_channel(scratch / CONDA_FORGE, machine_channels(store) / CONDA_FORGE)
        server = ChannelServer({CONDA_FORGE: scratch / CONDA_FORGE})
        with server, PackageIndex(scratch / "index") as index:
            for version in ("1.0", "2.0"):
                write_wheel(index.directory, "alpha", version)
            bench = Bench(server=server, index=index, dependencies=dependencies, scratch=scratch, store=store, env=env)
            rounds = []
            for number in range(1, arguments.rounds + 1):
                print(f"round {number} of {arguments.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
                rounds.append(measure_round(bench, number))
    finally:
        remove_tree(scratch)
    print(
        f"\n{len(dependencies)} packages, {arguments.rounds} rounds, median (least–most), {os.cpu_count()} cores, "
        f"{platform.platform()}\n"
    )
    print("A ratio is the time over pybuild's in the same row: above 1, pybuild is faster.\n")
    print("\n".join(render_table(rounds, (_PYBUILD, _RATTLER, _COMPILED), CASES)))


if __name__ == "__main__":
    main()
