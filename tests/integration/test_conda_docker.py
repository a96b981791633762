"""A conda image in a Docker engine: every way into a container finds an activated environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.command import FIXTURES, Pybuild, expect_success, ordinary_environment
from tests.integration.conda_build import PREFIX, as_mirror
from tests.integration.conda_channel import CONDA_FORGE
from tests.integration.conda_server import ChannelServer, without_proxies
from tests.integration.engine import DockerEngine
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.workplace import share_builder

pytestmark = pytest.mark.engine

_QUESTION = "import sys; print(*sys.version_info[:2], sys.prefix)"
_HOME = f"{PREFIX}/share/tiny-home"


@pytest.fixture(scope="module")
def image(
    engine: DockerEngine, machine_store: Path, conda_channels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Id of the image of fixtures/conda_activation in the engine."""
    directory = tmp_path_factory.mktemp("conda-image")
    cache_home = share_builder(machine_store, directory / "cache-home")
    pybuild = Pybuild(env=ordinary_environment(cache_home)).with_env(**without_proxies())
    archive = directory / "image.tar"
    with ChannelServer({CONDA_FORGE: conda_channels / CONDA_FORGE}) as server:
        settings = [word for name, value in as_mirror(server).items() for word in ("--env", f"{name}={value}")]
        output = ("--output", f"docker-archive:{archive}", "--tag", "conda-activation")
        expect_success(pybuild("build", FIXTURES / "conda_activation", *output, *settings))
    yield engine.load(archive)
    remove_tree(directory)


@pytest.fixture
def container(engine: DockerEngine, image: str) -> Iterator[str]:
    started = engine("run", "--detach", "--network", "host", image, "sleep", "600").strip()
    yield started
    engine("rm", "--force", started)


def test_docker_run_finds_the_environment(engine: DockerEngine, image: str) -> None:
    assert engine("run", "--rm", image, "python", "-c", _QUESTION).strip() == f"3 10 {PREFIX}"


def test_another_entrypoint_finds_the_environment(engine: DockerEngine, image: str) -> None:
    said = engine("run", "--rm", "--entrypoint", "bash", image, "-c", f'python -c "{_QUESTION}"; tiny-from-activation')
    assert said.splitlines() == [f"3 10 {PREFIX}", f"activated {_HOME}"]


@pytest.mark.parametrize("shell", [["env"], ["bash", "-c", "env"], ["bash", "-lc", "env"]], ids=" ".join)
def test_docker_exec_sees_what_activation_sets(shell: list[str], engine: DockerEngine, container: str) -> None:
    env = dict(line.split("=", 1) for line in engine("exec", container, *shell).splitlines() if "=" in line)
    expected = {
        "CONDA_PREFIX": PREFIX,
        "TINY_HOME": _HOME,
        "TINY_ORDER": "first second",
        "TINY_FROM_JSON": "from json",
        "GREETING": "hello from the file",
    }
    assert {name: env.get(name) for name in expected} == expected
    path = env["PATH"].split(":")
    assert path.index(f"{_HOME}/bin") < path.index(f"{PREFIX}/bin") < path.index("/usr/bin")


def test_a_login_shell_finds_the_environment(engine: DockerEngine, container: str) -> None:
    # Terminals of JupyterLab are login shells, and Debian's /etc/profile sets PATH anew.
    said = engine("exec", container, "bash", "-lc", f'python -c "{_QUESTION}"; tiny-from-activation')
    assert said.splitlines() == [f"3 10 {PREFIX}", f"activated {_HOME}"]


def test_another_user_finds_the_environment(engine: DockerEngine, image: str) -> None:
    said = engine("run", "--rm", "--user", "54321:0", image, "python", "-c", _QUESTION)
    assert said.strip() == f"3 10 {PREFIX}"


def test_pip_installs_as_the_user_of_the_image(engine: DockerEngine, container: str, tmp_path: Path) -> None:
    with PackageIndex(tmp_path / "index") as index:
        write_wheel(index.directory, "alpha", "1.0")
        engine("exec", container, "pip", "install", "--quiet", "--index-url", index.url, "alpha")
    assert engine("exec", container, "python", "-c", "import alpha; print(alpha.__file__)").startswith(PREFIX)
