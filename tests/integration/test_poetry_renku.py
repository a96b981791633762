"""The project that Renku's documentation shows (fixtures/poetry_renku): built, compared with Poetry's own installation, and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, Pybuild, ordinary_environment
from tests.integration.data_science import reused_layers
from tests.integration.engine import DockerEngine
from tests.integration.image_check import validate_image
from tests.integration.poetry_build import VENV, distributions, kept_lock, poetry_distributions, skip_without_python
from tests.integration.real_poetry import real_poetry
from tests.integration.workplace import clone_of, share_builder

_ADDRESS = "http://127.0.0.1:18474/api/status?token=secret"


@pytest.fixture(scope="module")
def renku(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    """The image, built once, and its repository as `clone`."""
    skip_without_python(machine_store, "3.12")
    directory = tmp_path_factory.mktemp("poetry-renku")
    pybuild = Pybuild(env=ordinary_environment(share_builder(machine_store, directory / "cache-home")))
    builds = Builds(pybuild=pybuild, directory=directory)
    builds.build(
        clone_of(FIXTURES / "poetry_renku", directory / "clone"),
        *("--output", f"docker-archive:{directory / 'image.tar'}", "--tag", "poetry-renku"),
    )
    yield builds
    remove_tree(directory)


@pytest.fixture(scope="module")
def image(engine: DockerEngine, renku: Builds) -> str:
    """Id of the image in a Docker engine."""
    return engine.load(renku.directory / "image.tar")


@pytest.fixture
def container(engine: DockerEngine, image: str) -> Iterator[str]:
    """A running container."""
    started = engine("run", "--detach", "--network", "host", image, "sleep", "600").strip()
    yield started
    engine("rm", "--force", started)


@pytest.mark.integration
def test_the_program_runs_without_docker(renku: Builds) -> None:
    validate_image(renku.layout)
    _expect_versions(renku.run("python", "main.py"))


@pytest.mark.integration
def test_it_has_what_poetry_installs(renku: Builds, machine_store: Path) -> None:
    repository = renku.directory / "locked"
    clone_of(FIXTURES / "poetry_renku", repository)
    (repository / "poetry.lock").write_text(kept_lock(renku.image))
    poetry = real_poetry(renku.directory / "poetry", renku.pybuild.env)
    found = distributions(renku)
    assert len(found) > 80
    assert found == poetry_distributions(poetry, renku, repository, machine_store, "--only", "main")


@pytest.mark.integration
def test_an_unchanged_repository_is_built_in_moments(renku: Builds) -> None:
    finished, report = renku.build(renku.directory / "clone")
    assert all(reused_layers(report).values())
    print(f"an unchanged build took {finished.seconds:.2f} s")
    # One and a half seconds on a quiet machine; more where other tests run beside it.
    assert finished.seconds < 20


@pytest.mark.engine
def test_docker_run_runs_the_program(engine: DockerEngine, image: str) -> None:
    _expect_versions(engine("run", "--rm", image, "python", "main.py"))


@pytest.mark.engine
@pytest.mark.parametrize("shell", [["python"], ["bash", "-lc", 'exec python "$@"', "python"]], ids=["exec", "login"])
def test_docker_exec_finds_the_environment(shell: list[str], engine: DockerEngine, container: str) -> None:
    assert engine("exec", container, *shell, "-c", "import sys; print(sys.prefix)").strip() == VENV


@pytest.mark.engine
def test_a_jupyter_session_starts(engine: DockerEngine, container: str) -> None:
    serve = "jupyter lab --no-browser --ip 127.0.0.1 --port 18474 --ServerApp.token=secret >/tmp/jupyter.log 2>&1"
    engine("exec", "--detach", container, "sh", "-c", serve)
    status = engine("exec", container, "curl", "--silent", "--fail", "--retry", "60", "--retry-delay", "1",
                    "--retry-connrefused", "--noproxy", "*", _ADDRESS)  # fmt: skip
    assert json.loads(status)["kernels"] == 0


def _expect_versions(printed: str) -> None:
    first, *rest = printed.splitlines()
    major, minor = (int(word) for word in first.removeprefix("python ").split())
    assert (major, minor) >= (3, 12)
    # `^2.2.2` and so on: the major version that the file asks for.
    for line, expected in zip(rest, ("numpy 2", "pandas 2", "jupyterlab 4", "scipy 1"), strict=True):
        assert re.match(rf"{expected}\.\d", line), line
