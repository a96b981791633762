"""Images of Poetry repositories in a Docker engine: every way into a container finds the project and its dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.builds import Builds
from tests.integration.command import FIXTURES, Pybuild, ordinary_environment
from tests.integration.engine import DockerEngine
from tests.integration.git_server import GitServer
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.poetry_build import VENV, copy_of, skip_without_python
from tests.integration.workplace import share_builder

pytestmark = pytest.mark.engine

_TABLE = ["first", "1", "second", "2"]


@pytest.fixture(scope="module")
def pybuild(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pybuild]:
    """The command, with a store that the tests share."""
    cache_home = share_builder(machine_store, tmp_path_factory.mktemp("poetry-docker") / "cache-home")
    yield Pybuild(env=ordinary_environment(cache_home))
    remove_tree(cache_home)


@pytest.fixture
def builds(pybuild: Pybuild, tmp_path: Path) -> Builds:
    """Builds into a layout of each test's own."""
    return Builds(pybuild=pybuild, directory=tmp_path)


def _loaded(builds: Builds, engine: DockerEngine, repository: Path) -> str:
    archive = builds.directory / f"{repository.name}.tar"
    builds.build(repository, "--output", f"docker-archive:{archive}", "--tag", repository.name.replace("_", "-"))
    return engine.load(archive)


@pytest.fixture(scope="module")
def package(pybuild: Pybuild, engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Id of the image of fixtures/poetry_package."""
    builds = Builds(pybuild=pybuild, directory=tmp_path_factory.mktemp("poetry-package"))
    return _loaded(builds, engine, FIXTURES / "poetry_package")


@pytest.mark.parametrize(
    ("fixture", "command", "expected"),
    [
        ("poetry_no_package", ["python", "main.py"], "colorama None"),
        ("poetry_unlocked", ["python", "-c", "import six; print(six.__name__)"], "six"),
        pytest.param(
            "poetry_groups",
            ["python", "-c", "import six; print(six.__version__)"],
            "1.17.0",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "poetry_extras",
            ["python", "-c", "import extras; print(extras.__file__)"],
            "/workspace/extras.py",
            marks=pytest.mark.thorough,
        ),
        ("poetry_paths", ["python", "main.py"], "/workspace/libraries/linked/linked.py"),
        pytest.param(
            "poetry_url", ["python", "-c", "import six; print(six.__version__)"], "1.17.0", marks=pytest.mark.thorough
        ),
        ("poetry_python_range", ["python", "-c", "import sys; print(sys.version_info >= (3, 12))"], "True"),
    ],
)
def test_a_fixture_runs(
    fixture: str, command: list[str], expected: str, builds: Builds, engine: DockerEngine, machine_store: Path
) -> None:
    if fixture == "poetry_python_range":
        skip_without_python(machine_store, "3.12")
    image = _loaded(builds, engine, FIXTURES / fixture)
    assert expected in engine("run", "--rm", image, *command)
    assert expected in builds.run(*command)


def test_a_dependency_from_git_runs(builds: Builds, engine: DockerEngine, greetings: GitServer, tmp_path: Path) -> None:
    image = _loaded(builds, engine, copy_of("poetry_git", tmp_path, host=greetings.host))
    command = ["python", "-c", "import greeting; print(greeting.TEXT)"]
    assert engine("run", "--rm", image, *command).strip() == builds.run(*command) == "hello"


def test_a_package_of_a_private_index_runs(builds: Builds, engine: DockerEngine, tmp_path: Path) -> None:
    with PackageIndex(tmp_path / "lab", credentials=("reader", "secret-of-the-lab")) as lab:
        write_wheel(lab.directory, "alpha", "1.5")
        variables = {"USERNAME": "reader", "PASSWORD": "secret-of-the-lab"}
        settings = {f"POETRY_HTTP_BASIC_LAB_INDEX_{name}": value for name, value in variables.items()}
        repository = copy_of("poetry_private_index", tmp_path, host=lab.host)
        image = _loaded(builds.with_settings(**settings), engine, repository)
    command = ["python", "-c", "import alpha; print(alpha.VERSION)"]
    assert engine("run", "--rm", image, *command).strip() == builds.run(*command) == "1.5"
    assert "secret-of-the-lab" not in engine("image", "inspect", image)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fixture", "settings"),
    [("poetry_stale_lock", {"BP_POETRY_RELOCK": "1"}), ("poetry_newer_lock", {"BP_POETRY_VERSION": "2.1.4"})],
)
def test_a_lock_that_is_made_anew_or_read_by_another_poetry_runs(
    fixture: str, settings: dict[str, str], builds: Builds, engine: DockerEngine
) -> None:
    image = _loaded(builds.with_settings(**settings), engine, FIXTURES / fixture)
    command = ["python", "-c", "import six; print(six.__name__)"]
    assert engine("run", "--rm", image, *command).strip() == builds.run(*command) == "six"


def test_docker_run_finds_the_script_of_the_project(package: str, engine: DockerEngine) -> None:
    assert engine("run", "--rm", package, "thesis").split() == _TABLE


def test_a_login_shell_and_another_user_find_it(package: str, engine: DockerEngine) -> None:
    assert engine("run", "--rm", "--entrypoint", "bash", package, "-lc", "thesis").split() == _TABLE
    assert engine("run", "--rm", "--user", "54321:0", package, "thesis").split() == _TABLE


def test_code_that_is_mounted_over_the_project_runs(package: str, engine: DockerEngine, tmp_path: Path) -> None:
    code = tmp_path / "report.py"
    code.write_text("def main():\n    print('mounted')\n")
    place = "/workspace/src/thesis/report.py"
    assert engine("run", "--rm", "--volume", f"{code}:{place}:ro", package, "thesis").strip() == "mounted"


def test_pip_installs_as_the_user_of_the_image(package: str, engine: DockerEngine, tmp_path: Path) -> None:
    started = engine("run", "--detach", "--network", "host", package, "sleep", "600").strip()
    try:
        with PackageIndex(tmp_path / "index") as index:
            write_wheel(index.directory, "alpha", "1.0")
            engine("exec", started, "pip", "install", "--quiet", "--index-url", index.url, "alpha")
        imported = engine("exec", started, "python", "-c", "import alpha; print(alpha.__file__)")
        assert imported.startswith(VENV)
    finally:
        engine("rm", "--force", started)
