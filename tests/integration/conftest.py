"""Fixtures of the tests with the real tools. The builder is made once for the machine; everything else is a test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from pybuild.store import store_directory
from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, Pybuild, expect_success, ordinary_environment
from tests.integration.conda_build import CondaBuilds, conda_builds, open_channels
from tests.integration.conda_channel import machine_channels
from tests.integration.conda_server import ChannelServer
from tests.integration.data_science import DataScience, build_data_science
from tests.integration.engine import DockerEngine, docker_engine
from tests.integration.git_server import GitServer
from tests.integration.package_index import PackageIndex, open_index
from tests.integration.poetry_build import PoetryImages
from tests.integration.real_poetry import RealPoetry, real_poetry
from tests.integration.workplace import clone_of, share_builder


@pytest.fixture(scope="session")
def machine_store() -> Path:
    """The store of this machine, with the builder made."""
    store = store_directory(os.environ, Path.home())
    expect_success(Pybuild(env=ordinary_environment(store.parent))("builder", "create"))
    return store


@pytest.fixture(scope="session")
def conda_channels(machine_store: Path) -> Path:
    """Directory with the channels of the tests, made once for the machine."""
    return machine_channels(machine_store)


@pytest.fixture
def new_pybuild(machine_store: Path, tmp_path: Path) -> Iterator[Callable[[str], Pybuild]]:
    """Makes the command with an empty store of its own, but for the builder; stores are removed after the test."""
    made = []

    def make(name: str) -> Pybuild:
        cache_home = share_builder(machine_store, tmp_path / name)
        made.append(cache_home)
        return Pybuild(env=ordinary_environment(cache_home))

    yield make
    for cache_home in made:
        remove_tree(cache_home)


@pytest.fixture
def pybuild(new_pybuild: Callable[[str], Pybuild]) -> Pybuild:
    """The command with the machine's own package index."""
    return new_pybuild("cache-home")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    """The package index of `open_index`."""
    with open_index(tmp_path / "index") as running:
        yield running


@pytest.fixture
def offline_pybuild(pybuild: Pybuild, index: PackageIndex) -> Pybuild:
    """The command with the test's own package index as the only one."""
    return pybuild.with_env(**index.settings())


@pytest.fixture
def channel(conda_channels: Path) -> Iterator[ChannelServer]:
    """A server of the machine's channels."""
    with open_channels(conda_channels) as running:
        yield running


@pytest.fixture
def conda(offline_pybuild: Pybuild, channel: ChannelServer, tmp_path: Path) -> CondaBuilds:
    """Builds with the test channel as mirror of conda-forge, and the test's own package index."""
    return conda_builds(offline_pybuild, channel, tmp_path)


@pytest.fixture(scope="module")
def lasting_conda(
    machine_store: Path, conda_channels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CondaBuilds]:
    """The same for builds that several tests of a module look at."""
    directory = tmp_path_factory.mktemp("conda")
    cache_home = share_builder(machine_store, directory / "cache-home")
    with open_index(directory / "index") as index, open_channels(conda_channels) as server:
        pybuild = Pybuild(env=ordinary_environment(cache_home)).with_env(**index.settings())
        yield conda_builds(pybuild, server, directory)
    remove_tree(directory)


@pytest.fixture
def poetry_builds(pybuild: Pybuild, tmp_path: Path) -> Builds:
    """Builds with the machine's own package index."""
    return Builds(pybuild=pybuild, directory=tmp_path)


@pytest.fixture(scope="module")
def poetry_images(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoetryImages]:
    """Images of the fixtures with Poetry for a module, each built by the first test that asks for it."""
    directory = tmp_path_factory.mktemp("poetry-images")
    pybuild = Pybuild(env=ordinary_environment(share_builder(machine_store, directory / "cache-home")))
    yield PoetryImages(pybuild=pybuild, directory=directory)
    remove_tree(directory)


@pytest.fixture(scope="session")
def poetry(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> RealPoetry:
    """Poetry outside of pybuild, with the same package index."""
    return real_poetry(tmp_path_factory.mktemp("poetry"), ordinary_environment(machine_store.parent))


@pytest.fixture
def greetings(tmp_path: Path) -> Iterator[GitServer]:
    """A git server with the project `greeting`, which needs nothing, under the tag v1.0."""
    project = (
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "greeting"\nversion = "1.0"\n'
    )
    with GitServer(tmp_path / "git") as server:
        server.commit("greeting", {"pyproject.toml": project, "greeting.py": "TEXT = 'hello'\n"}, tag="v1.0")
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that asks for `alpha==1.0` of the test's own index."""
    directory = tmp_path / "repository"
    directory.mkdir()
    (directory / "requirements.txt").write_text("alpha==1.0\n")
    (directory / "main.py").write_text("import alpha\nprint('alpha', alpha.VERSION)\n")
    return directory


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """A Docker engine for the whole run."""
    if os.geteuid() != 0:
        pytest.skip("a Docker engine needs root")
    with docker_engine() as running:
        yield running


@pytest.fixture(scope="session")
def data_science(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataScience]:
    """The image of fixtures/pip_data_science, built once from a clone, with its store; removed after the run."""
    directory = tmp_path_factory.mktemp("data-science")
    cache_home = share_builder(machine_store, directory / "cache-home")
    pybuild = Pybuild(env=ordinary_environment(cache_home))
    yield build_data_science(pybuild, clone_of(FIXTURES / "pip_data_science", directory / "clone"), directory)
    remove_tree(directory)
