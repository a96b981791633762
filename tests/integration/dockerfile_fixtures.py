"""Fixtures of the tests that execute Dockerfiles; test modules take them by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.command import Pybuild
from tests.integration.dockerfile_bases import Bases, machine_small_bases
from tests.integration.dockerfile_builds import full_policy
from tests.integration.dockerfile_runs import DockerfileRuns
from tests.integration.engine import DockerEngine

ENGINES = ["sandbox", pytest.param("docker", marks=pytest.mark.engine)]


@pytest.fixture(scope="session")
def bases() -> Bases:
    """Images to begin with."""
    return machine_small_bases()


@pytest.fixture
def sandbox_runs(new_pybuild: Callable[[str], Pybuild], bases: Bases, tmp_path: Path) -> DockerfileRuns:
    """Builds in the sandbox, by a builder whose policy is `full`."""
    options: list[str | Path] = ["--builder", full_policy(tmp_path)]
    for image in bases.all_small():
        options += ["--base", image.option]
    return DockerfileRuns(pybuild=new_pybuild("dockerfile-cache"), directory=tmp_path, options=options)


@pytest.fixture(params=ENGINES)
def runs(request: pytest.FixtureRequest, sandbox_runs: DockerfileRuns) -> DockerfileRuns:
    """Builds with each of the engines."""
    if request.param == "sandbox":
        return sandbox_runs
    engine: DockerEngine = request.getfixturevalue("engine")
    command = sandbox_runs.pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}")
    return DockerfileRuns(
        pybuild=command, directory=sandbox_runs.directory, options=(*sandbox_runs.options, "--engine", "docker")
    )
