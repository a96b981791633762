"""Times builds of a conda repository by pybuild, beside `docker build`, `buildah build` and rattler itself; prints tables.

Run from the checkout, on a quiet machine: `.venv/bin/python -m bench.conda_builds --rounds 3`. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.measure import Figures, Round, print_result, run_quietly, run_rounds, seconds_of
from bench.preparation import BASE, dockerfile_builders, load_base, remote_environment
from bench.ways import Builder, Changes, measure_builder, measure_pybuild
from lifecycle.cnb.layer import remove_tree
from pybuild.host import read_host_settings
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
# The same in a Dockerfile, as people have it with mamba, which compiles `noarch: python` packages when it installs them: rattler is in
# the base, its cache a mount, and pip installs what conda cannot.
_IN_BASE = f"RUN pip install --no-cache-dir py-rattler=={version('py-rattler')}"
_DOCKERFILE = f"""\
FROM {BASE}
WORKDIR /workspace
COPY install.py conda.txt ./
RUN --mount=type=cache,target=/var/cache/rattler python install.py CHANNEL /opt/env /var/cache/rattler $(cat conda.txt) \\
    && /opt/env/bin/python -m compileall -q -j 0 /opt/env/lib
COPY pip.txt ./
RUN --mount=type=cache,target=/var/cache/pip /opt/env/bin/python -m pip install --cache-dir /var/cache/pip INDEX -r pip.txt
COPY . .
"""
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
    builders: Sequence[Builder]


def measure_round(bench: Bench, number: int) -> Round:
    """Figures of one round; the ways take turns so that a change of the machine's mood meets them all."""
    directory = bench.scratch / f"round-{number}"
    directory.mkdir()
    figures = {_PYBUILD: measure_own(bench, directory)}
    for builder in bench.builders:
        context = directory / builder.name
        figures[builder.name] = measure_builder(builder, context, changes_in_files(bench, context))
    figures |= {
        _RATTLER: measure_rattler(bench, directory, with_bytecode=False),
        _COMPILED: measure_rattler(bench, directory, with_bytecode=True),
    }
    remove_tree(directory)
    return figures


def measure_own(bench: Bench, directory: Path) -> dict[str, Figures]:
    """The builder is there, the store knows nothing of the repository."""
    repository = write_environment(directory / "repository", bench.dependencies, pip=["alpha==1.0"])
    program = repository / "main.py"
    program.write_text("import alpha\n")
    cache_home = share_builder(bench.store, directory / "cache-home")
    pybuild = Pybuild(env={**bench.env, "XDG_CACHE_HOME": str(cache_home)}).with_env(**bench.index.settings())
    settings = [word for name, value in as_mirror(bench.server).items() for word in ("--env", f"{name}={value}")]
    more = [*bench.dependencies, _ADDED]
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: None,
        lambda: program.write_text("import alpha  # changed\n"),
        lambda: write_environment(repository, bench.dependencies, pip=["alpha==2.0"]),
        lambda: write_environment(repository, more, pip=["alpha==2.0"]),
    )
    figures = measure_pybuild(pybuild, repository, dict(zip(CASES, changes, strict=True)), settings)
    remove_tree(cache_home)
    return figures


def changes_in_files(bench: Bench, context: Path) -> Changes:
    """What each case does to the context of the Dockerfile, which the first one makes."""

    def begin() -> None:
        context.mkdir()
        index = f"--index-url={bench.index.url}"
        channel = f"{bench.server.url}/{CONDA_FORGE}"
        (context / "Dockerfile").write_text(_DOCKERFILE.replace("CHANNEL", channel).replace("INDEX", index))
        (context / "install.py").write_text(_RATTLER_PROGRAM)
        (context / "conda.txt").write_text(" ".join(bench.dependencies))
        (context / "pip.txt").write_text("alpha==1.0\n")
        (context / "main.py").write_text("import alpha\n")

    changes: tuple[Callable[[], object], ...] = (
        begin,
        lambda: None,
        lambda: (context / "main.py").write_text("import alpha  # changed\n"),
        lambda: (context / "pip.txt").write_text("alpha==2.0\n"),
        lambda: (context / "conda.txt").write_text(" ".join([*bench.dependencies, _ADDED])),
    )
    return dict(zip(CASES, changes, strict=True))


def measure_rattler(bench: Bench, directory: Path, *, with_bytecode: bool) -> dict[str, Figures]:
    """Into a fresh directory: with an empty cache, with a full one, and with one dependency more."""
    prefix = directory / "prefix"
    figures = {}
    for case in ("cold", "unchanged", "dependency added"):
        specs = [*bench.dependencies, *([_ADDED] if case == "dependency added" else [])]
        command = [sys.executable, "-c", _RATTLER_PROGRAM, f"{bench.server.url}/{CONDA_FORGE}"]
        command += [str(prefix), str(directory / "rattler-cache"), *specs]

        def install() -> None:
            run_quietly(command, bench.env)  # noqa: B023
            if with_bytecode:
                compiling = ["-m", "compileall", "-q", "-j", "0", str(prefix / "lib")]
                run_quietly([str(prefix / "bin/python"), *compiling], bench.env)

        figures[case] = Figures(seconds=seconds_of(install))
        remove_tree(prefix)
    remove_tree(directory / "rattler-cache")
    return figures


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
    parser.add_argument("--no-docker", action="store_true", help="without docker and buildah, which need root")
    arguments = parser.parse_args()
    settings = read_host_settings(os.environ, Path.home())
    scratch = Path(tempfile.mkdtemp(prefix="pybuild-bench-"))
    remote = remote_environment(settings, scratch)
    env = ordinary_environment(scratch)
    env = {name: value for name, value in env.items() if name not in without_proxies()}
    store = store_directory(os.environ, Path.home())
    expect_success(Pybuild(env={**env, "XDG_CACHE_HOME": str(store.parent)})("builder", "create"))
    try:
        dependencies = make_data_science_channel(scratch / CONDA_FORGE, machine_channels(store) / CONDA_FORGE)
        with (
            ChannelServer({CONDA_FORGE: scratch / CONDA_FORGE}) as server,
            PackageIndex(scratch / "index") as index,
            dockerfile_builders(scratch, remote, wanted=not arguments.no_docker) as builders,
        ):
            empty = Pybuild(env={**remote, "XDG_CACHE_HOME": str(share_builder(store, scratch / "base-cache"))})
            load_base(builders, empty, settings, remote, scratch, more=[_IN_BASE])
            for number in ("1.0", "2.0"):
                write_wheel(index.directory, "alpha", number)
            bench = Bench(
                server=server,
                index=index,
                dependencies=dependencies,
                scratch=scratch,
                store=store,
                env=env,
                builders=builders,
            )
            rounds = run_rounds(arguments.rounds, lambda number: measure_round(bench, number))
    finally:
        remove_tree(scratch)
    print_result(f"{len(dependencies)} packages", rounds, CASES)


if __name__ == "__main__":
    main()
