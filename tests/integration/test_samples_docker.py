"""Samples built in containers of a builder image, as an unprivileged user, by a Docker engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from pybuild.builder import ensure_builder, read_definition
from tests.integration.command import Pybuild, expect_success, ordinary_environment
from tests.integration.engine import DockerEngine
from tests.integration.registry import Registry, start_registry
from tests.integration.sample_programs import ByPrograms, InDocker, InRegistry, write_run_image
from tests.integration.sample_rows import ROWS
from tests.integration.samples import Sample, build_repeatedly, write_samples_builder
from tests.pybuild.recording_log import RecordingLog

pytestmark = [pytest.mark.integration, pytest.mark.engine]

# Layers that come back, a home that does not, the environment of the image, and two that fit nothing.
_BUILT = [row for row in ROWS if row.name in ("cached", "home", "variables")]
_FAILING = [row for row in ROWS if row.status != 0]


@pytest.fixture(scope="module")
def builder_image(engine: DockerEngine, machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of the image of the samples' builder in the engine."""
    definition = write_samples_builder(tmp_path_factory.mktemp("builder"))
    env = {**ordinary_environment(machine_store.parent), "DOCKER_HOST": f"unix://{engine.socket}"}
    name = "samples/builder:test"
    options = ("--builder", definition, "--output", f"docker-daemon:{name}")
    expect_success(Pybuild(env=env)("builder", "create", *options))
    return name


@pytest.fixture(scope="module")
def registry(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with the run image."""
    definition = read_definition(write_samples_builder(tmp_path_factory.mktemp("definition")))
    builder = ensure_builder(definition, machine_store, RecordingLog())
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        layout = write_run_image(builder, tmp_path_factory.mktemp("run") / "layout")
        running.push(f"oci:{layout}:latest", "run:latest")
        yield running


@pytest.fixture
def in_containers(engine: DockerEngine, builder_image: str, registry: Registry, tmp_path: Path) -> Iterator[ByPrograms]:
    """`creator`, each time in a container of its own."""
    work = tmp_path / "work"
    containers = InDocker(engine=engine, image=builder_image)
    images = InRegistry(registry=registry, name=tmp_path.name.lower())
    yield ByPrograms(containers=containers, images=images, work=work, is_creator=True)
    remove_tree(work)


@pytest.mark.parametrize("sample", _BUILT, ids=lambda row: row.name)
def test_creator_builds_it_in_a_container(sample: Sample, in_containers: ByPrograms) -> None:
    build_repeatedly(sample, in_containers)


@pytest.mark.parametrize("sample", _FAILING, ids=lambda row: row.name)
def test_creator_says_in_a_container_what_fits_nothing(sample: Sample, in_containers: ByPrograms) -> None:
    assert sample.error in in_containers.fail(sample)
