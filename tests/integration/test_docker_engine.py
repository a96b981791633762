"""The data-science image in a Docker engine: every way into a container finds Python and the packages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybuild.host import CA_BUNDLE_IN_BUILD, read_host_settings
from tests.integration.data_science import DataScience
from tests.integration.engine import DockerEngine
from tests.integration.image_files import read_layout

pytestmark = pytest.mark.engine

_IMPORTS = (
    "import sys, numpy, pandas, jupyterlab; print('python', *sys.version_info[:2]);"
    "print(numpy.__version__, pandas.__version__, jupyterlab.__version__)"
)
_IMPORTED = ["python 3 10", "2.2.2 2.2.3 4.3.5"]


@pytest.fixture(scope="module")
def image(engine: DockerEngine, data_science: DataScience) -> str:
    """Id of the image in the engine."""
    return engine.load(data_science.archive)


@pytest.fixture
def container(engine: DockerEngine, image: str) -> Iterator[str]:
    """A running container of the image with the network of the machine and, given to it from outside, its settings.

    The image itself knows none of them.
    """
    settings = read_host_settings(os.environ, Path.home())
    variables = {**settings.indexes, **settings.proxies}
    options = ["--detach", "--network", "host"]
    for mount in settings.mounts:
        options += ["--volume", f"{mount.source}:{mount.target}:ro"]
    if settings.ca_bundle is not None:
        options += ["--volume", f"{settings.ca_bundle.resolve()}:{CA_BUNDLE_IN_BUILD}:ro"]
        variables["PIP_CERT"] = str(CA_BUNDLE_IN_BUILD)
    options += [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    started = engine("run", *options, image, "sleep", "600").strip()
    yield started
    engine("rm", "--force", started)


def test_the_engine_keeps_the_identity_of_the_image(image: str, data_science: DataScience) -> None:
    assert image == read_layout(data_science.layout).manifest["config"]["digest"]


def test_docker_run_finds_python_and_the_packages(engine: DockerEngine, image: str) -> None:
    assert engine("run", "--rm", image, "python", "-c", _IMPORTS).splitlines() == _IMPORTED


def test_docker_run_runs_the_program_of_the_repository(engine: DockerEngine, image: str) -> None:
    said = engine("run", "--rm", image, "python", "main.py")
    for version in ("3.10", "2.2.2", "2.2.3", "4.3.5"):
        assert version in said


def test_another_entrypoint_finds_python_and_the_packages(engine: DockerEngine, image: str) -> None:
    said = engine("run", "--rm", "--entrypoint", "bash", image, "-c", f'python -c "{_IMPORTS}"')
    assert said.splitlines() == _IMPORTED


def test_docker_exec_finds_python_and_the_packages(engine: DockerEngine, container: str) -> None:
    assert engine("exec", container, "python", "-c", _IMPORTS).splitlines() == _IMPORTED


def test_a_login_shell_finds_python_and_the_packages(engine: DockerEngine, container: str) -> None:
    # Terminals of JupyterLab are login shells, and Debian's /etc/profile sets PATH anew.
    assert engine("exec", container, "bash", "-lc", f'python -c "{_IMPORTS}"').splitlines() == _IMPORTED


def test_another_user_finds_python_and_the_packages(engine: DockerEngine, image: str) -> None:
    # OpenShift and some platforms run images under an id of their own.
    said = engine("run", "--rm", "--user", "54321:0", image, "python", "-c", _IMPORTS)
    assert said.splitlines() == _IMPORTED


def test_the_user_of_the_image_has_a_name_and_a_home(engine: DockerEngine, container: str) -> None:
    name, home, working_directory = engine("exec", container, "sh", "-c", "id -un; echo ~; pwd").splitlines()
    assert name not in ("", "root")
    assert home.startswith("/home/")
    assert working_directory == "/workspace"
    engine("exec", container, "sh", "-c", "touch ~/file /workspace/file /tmp/file")


def test_pip_installs_as_the_user_of_the_image(engine: DockerEngine, container: str) -> None:
    engine("exec", container, "pip", "install", "--quiet", "cowsay")
    said = engine("exec", container, "python", "-c", "import cowsay; cowsay.cow('hello')")
    assert "hello" in said


def test_bash_and_curl_are_there(engine: DockerEngine, container: str) -> None:
    engine("exec", container, "bash", "--version")
    assert "curl" in engine("exec", container, "curl", "--version")


def test_no_compiler_and_no_builder_tools_are_there(engine: DockerEngine, container: str) -> None:
    for program in ("gcc", "cc", "g++", "make", "ld", "uv", "git"):
        found = engine.run("exec", container, "sh", "-c", f"command -v {program}", check=False)
        assert found.returncode != 0, f"{program}: {found.stdout}"


def test_an_image_without_processes_says_so_when_run_without_a_command(engine: DockerEngine, image: str) -> None:
    ran = engine.run("run", "--rm", image, check=False)
    assert ran.returncode == 82
    assert "Traceback" not in ran.stderr
    assert ran.stderr.strip()


def test_the_exit_status_of_the_command_is_the_container_s(engine: DockerEngine, image: str) -> None:
    assert engine.run("run", "--rm", image, "sh", "-c", "exit 7", check=False).returncode == 7


def test_the_command_gets_the_signals(engine: DockerEngine, image: str) -> None:
    program = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); print('ready', flush=True); signal.pause()"
    started = engine("run", "--detach", image, "python", "-c", program).strip()
    _wait_for_log(engine, started, "ready")
    engine("stop", "--time", "20", started)
    assert engine("inspect", "--format", "{{.State.ExitCode}}", started).strip() == "9"
    engine("rm", started)


def test_a_jupyter_session_starts(engine: DockerEngine, container: str) -> None:
    serve = "jupyter lab --no-browser --ip 127.0.0.1 --port 18473 --ServerApp.token=secret >/tmp/jupyter.log 2>&1"
    engine("exec", "--detach", container, "sh", "-c", serve)
    address = "http://127.0.0.1:18473/api/status?token=secret"
    status = engine("exec", container, "curl", "--silent", "--fail", "--retry", "60", "--retry-delay", "1",
                    "--retry-connrefused", "--noproxy", "*", address)  # fmt: skip
    assert json.loads(status)["kernels"] == 0


def _wait_for_log(engine: DockerEngine, container: str, text: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while text not in engine("logs", container):
        assert time.monotonic() < deadline, f"`{text}` was not said"
        time.sleep(0.2)
