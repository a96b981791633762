"""Buildpacks of others, in plain bash, build and run as the specification says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.command import Finished, Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.image_check import validate_image
from tests.integration.image_files import read_layout
from tests.integration.registry import Registry, start_registry
from tests.integration.sample_rows import ROWS
from tests.integration.samples import (
    SAMPLES,
    Built,
    Run,
    Sample,
    Way,
    expect_facts,
    own_diff_ids,
    said_by,
    write_samples_builder,
)
from tests.integration.workplace import share_builder

pytestmark = pytest.mark.integration

_FAILING = [row for row in ROWS if row.status != 0]
_BUILT = [row for row in ROWS if row.status == 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPybuild:
    """`pybuild build` with the sandbox engine, into a layout and a registry at once."""

    pybuild: Pybuild
    builder: Path
    registry: Registry
    directory: Path

    @property
    def layout(self) -> Path:
        return self.directory / "layout"

    def build(self, sample: Sample) -> Built:
        name, report = f"{self.registry.host}/{sample.name}:latest", self.directory / "report.json"
        outputs = ("--output", f"oci:{self.layout}", "--output", f"docker://{name}", "--report", str(report))
        finished = expect_success(self._start(sample, *outputs))
        facts: dict[str, Any] = json.loads(report.read_text())
        image = read_layout(self.layout)
        assert self.registry.digests(sample.name) == [image.digest]
        detection = facts["detection"]
        return Built(group=detection["group"], plan=detection["plan"], log=finished.stderr, image=image)

    def fail(self, sample: Sample) -> str:
        return expect_error(self._start(sample), sample.status)

    def clear_cache(self) -> None:
        (cache,) = (self.pybuild.cache_home / "pybuild" / "apps").glob("*/cache")
        remove_tree(cache)

    def _start(self, sample: Sample, *arguments: str) -> Finished:
        options = [word for name in sample.asked for word in ("--buildpack", f"example/{name}")]
        options += [word for name, value in sample.user_env.items() for word in ("--env", f"{name}={value}")]
        app = SAMPLES / "apps" / sample.app
        return self.pybuild("build", app, "--builder", self.builder, *options, *arguments)


@pytest.fixture(scope="module")
def samples_builder(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The builder.toml of all samples, made for the machine."""
    path = write_samples_builder(tmp_path_factory.mktemp("samples"))
    expect_success(Pybuild(env=ordinary_environment(machine_store.parent))("builder", "create", "--builder", path))
    return path


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def by_pybuild(samples_builder: Path, registry: Registry, machine_store: Path, tmp_path: Path) -> Iterator[ByPybuild]:
    cache_home = share_builder(machine_store, tmp_path / "cache-home")
    pybuild = Pybuild(env=ordinary_environment(cache_home))
    yield ByPybuild(pybuild=pybuild, builder=samples_builder, registry=registry, directory=tmp_path)
    remove_tree(cache_home)


@pytest.mark.parametrize("sample", _BUILT, ids=lambda row: row.name)
def test_a_sample_builds_twice_and_from_a_cleared_cache_and_runs(sample: Sample, by_pybuild: ByPybuild) -> None:
    build_three_times(sample, by_pybuild)
    validate_image(by_pybuild.layout, "latest")
    for run in sample.runs:
        expect_run(by_pybuild, run)


@pytest.mark.parametrize("sample", _FAILING, ids=lambda row: row.name)
def test_a_sample_that_fits_nothing_says_so(sample: Sample, by_pybuild: ByPybuild) -> None:
    assert sample.error in by_pybuild.fail(sample)
    assert not by_pybuild.layout.exists()


def build_three_times(sample: Sample, way: Way) -> Built:
    """The third of three builds; they must say and give what the sample says."""
    first = way.build(sample)
    expect_facts(first, sample)
    assert said_by(first.log) == sample.first
    second = way.build(sample)
    assert said_by(second.log) == (sample.first if sample.second is None else sample.second)
    assert second.image.digest == first.image.digest
    way.clear_cache()
    third = way.build(sample)
    expect_facts(third, sample)
    assert said_by(third.log) == (sample.first if sample.cleared is None else sample.cleared)
    assert own_diff_ids(third.image) == own_diff_ids(first.image)
    return third


def expect_run(way: ByPybuild, run: Run) -> None:
    """A container of the image must say and end as the sample says."""
    options = [word for name, value in run.env.items() for word in ("--env", f"{name}={value}")]
    if run.process is not None:
        options += ["--entrypoint", run.process if run.process.startswith("/") else f"/cnb/process/{run.process}"]
    finished = way.pybuild("run", *options, f"oci:{way.layout}", "--", *run.command)
    assert (finished.status, tuple(finished.stdout.splitlines())) == (run.status, run.says), finished.stderr
