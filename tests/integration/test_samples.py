"""Buildpacks of others, in plain bash, build and run as the specification says, whichever way they are built."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.cnb.layer import remove_tree
from pybuild.builder import Builder, ensure_builder, read_definition
from tests.integration.command import Finished, Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.derived_images import derive_image
from tests.integration.image_check import validate_image
from tests.integration.image_files import LayoutImage, read_layout
from tests.integration.registry import Registry, start_registry
from tests.integration.sample_programs import ByPrograms, InLayout, InRegistry, InSandbox, write_run_image
from tests.integration.sample_rows import ROWS, TOOLBOX
from tests.integration.samples import (
    SAMPLES,
    Built,
    Run,
    Sample,
    build_repeatedly,
    comparable,
    expect_facts,
    write_samples_builder,
)
from tests.integration.workplace import share_builder
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.integration

_FAILING = [row for row in ROWS if row.status != 0]
_BUILT = [row for row in ROWS if row.status == 0]
PHASES, CREATOR = "phases", "creator"
REGISTRY, LAYOUT = "registry", "layout"
# Where layers come back, each once, and with time all of them; else the phases, and with time the creator, which is made of them.
_USUAL = {("cached", PHASES, REGISTRY), ("cached", CREATOR, LAYOUT), ("hello", CREATOR, LAYOUT)}
_WAYS = [
    pytest.param(row, program, place, marks=[] if is_usual else [pytest.mark.thorough])
    for row in _BUILT
    if row.asked
    for program, place in ((PHASES, REGISTRY), (CREATOR, LAYOUT), (PHASES, LAYOUT), (CREATOR, REGISTRY))
    if row.name == "cached" or (program, place) in ((PHASES, REGISTRY), (CREATOR, LAYOUT))
    for is_usual in [(program, place) == (PHASES, REGISTRY) or (row.name, program, place) in _USUAL]
]


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
        group = [{key: element[key] for key in ("id", "version", "api")} for element in detection["group"]]
        return Built(group=group, plan=detection["plan"], log=finished.stderr, image=image)

    def fail(self, sample: Sample) -> str:
        return expect_error(self._start(sample), sample.status)

    def clear_cache(self) -> None:
        (cache,) = (self.pybuild.cache_home / "pybuild" / "apps").glob("*/cache")
        remove_tree(cache)

    def _start(self, sample: Sample, *arguments: str) -> Finished:
        options = [*sample.options, *(word for name in sample.asked for word in ("--buildpack", f"example/{name}"))]
        options += [word for name, value in sample.user_env.items() for word in ("--env", f"{name}={value}")]
        app = SAMPLES / "apps" / sample.app
        return self.pybuild("build", app, "--builder", self.builder, *options, *arguments)


@pytest.fixture(scope="module")
def samples_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples_builder(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def samples_builder(samples_toml: Path, machine_store: Path) -> Builder:
    """The builder of all samples, made for the machine."""
    return ensure_builder(read_definition(samples_toml), machine_store, RecordingLog())


@pytest.fixture(scope="module")
def run_image(samples_builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout with the run image."""
    return write_run_image(samples_builder, tmp_path_factory.mktemp("run") / "layout")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, run_image: Path) -> Iterator[Registry]:
    """A registry with the run image."""
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        running.push(f"oci:{run_image}:latest", "run:latest")
        yield running


@pytest.fixture(scope="module")
def seen() -> dict[str, str]:
    """For each sample what the first way gave that it was built in."""
    return {}


@pytest.fixture
def by_pybuild(
    samples_toml: Path, samples_builder: Builder, registry: Registry, machine_store: Path, tmp_path: Path
) -> Iterator[ByPybuild]:
    cache_home = share_builder(machine_store, tmp_path / "cache-home")
    pybuild = Pybuild(env=ordinary_environment(cache_home))
    yield ByPybuild(pybuild=pybuild, builder=samples_toml, registry=registry, directory=tmp_path)
    remove_tree(cache_home)


@pytest.fixture
def by_programs(
    samples_builder: Builder, registry: Registry, run_image: Path, tmp_path: Path
) -> Iterator[Callable[[Sample, str, str], ByPrograms]]:
    """Makes a way of the programs, with a place for images."""
    work = tmp_path / "work"

    def make(sample: Sample, program: str, place: str) -> ByPrograms:
        images: InLayout | InRegistry
        if place == LAYOUT:
            images = InLayout(name=sample.name)
            layout = work / "kept" / "layouts" / images.run_image.replace(":", "/")
            layout.parent.mkdir(parents=True)
            command = ["skopeo", "copy", "--quiet", f"oci:{run_image}:latest", f"oci:{layout}:latest"]
            subprocess.run(command, check=True)
        else:
            images = InRegistry(registry=registry, name=f"{program}/{sample.name}")
        return ByPrograms(
            containers=InSandbox(builder=samples_builder), images=images, work=work, is_creator=program == CREATOR
        )

    yield make
    remove_tree(work)


@pytest.mark.parametrize("sample", _BUILT, ids=lambda row: row.name)
def test_pybuild_builds_and_runs_it(sample: Sample, by_pybuild: ByPybuild, seen: dict[str, str]) -> None:
    built = build_repeatedly(sample, by_pybuild)
    expect_same(seen, sample, built)
    validate_image(by_pybuild.layout, "latest")
    expect_runs(by_pybuild, built.image, sample.runs)


@pytest.mark.parametrize(("sample", "program", "place"), _WAYS, ids=lambda value: getattr(value, "name", value))
def test_the_programs_build_it(
    sample: Sample,
    program: str,
    place: str,
    by_programs: Callable[[Sample, str, str], ByPrograms],
    seen: dict[str, str],
) -> None:
    expect_same(seen, sample, build_repeatedly(sample, by_programs(sample, program, place)))


@pytest.mark.parametrize("sample", _FAILING, ids=lambda row: row.name)
def test_pybuild_says_what_fits_nothing(sample: Sample, by_pybuild: ByPybuild) -> None:
    assert sample.error in by_pybuild.fail(sample)
    assert not by_pybuild.layout.exists()


@pytest.mark.parametrize("program", [PHASES, CREATOR])
@pytest.mark.parametrize("sample", _FAILING, ids=lambda row: row.name)
def test_the_programs_say_what_fits_nothing(
    sample: Sample, program: str, by_programs: Callable[[Sample, str, str], ByPrograms]
) -> None:
    assert sample.error in by_programs(sample, program, REGISTRY).fail(sample)


def test_a_process_type_that_the_platform_names_starts_by_default(
    samples_builder: Builder, registry: Registry, tmp_path: Path
) -> None:
    (sample,) = (row for row in ROWS if row.name == "processes")
    containers = InSandbox(builder=samples_builder, env={"CNB_PROCESS_TYPE": "greet"})
    images = InRegistry(registry=registry, name="named-process")
    built = ByPrograms(containers=containers, images=images, work=tmp_path, is_creator=True).build(sample)
    assert built.image.config["config"]["Entrypoint"] == ["/cnb/process/greet"]


def test_a_process_type_that_is_not_there_cannot_start_by_default(
    samples_builder: Builder, registry: Registry, tmp_path: Path
) -> None:
    (sample,) = (row for row in ROWS if row.name == "processes")
    containers = InSandbox(builder=samples_builder, env={"CNB_PROCESS_TYPE": "absent"})
    images = InRegistry(registry=registry, name="absent-process")
    ended = ByPrograms(containers=containers, images=images, work=tmp_path, is_creator=False).start(sample)[-1]
    assert (ended.status, "`absent`" in ended.output) == (62, True), ended.output


@pytest.fixture
def toolbox(samples_builder: Builder, registry: Registry, run_image: Path, tmp_path: Path) -> str:
    """A run image in the registry that says of itself that it is the extension's."""
    base = samples_builder.run_image.config
    env = (*base.env, "TOOLBOX_KIND=of the extension")
    image = derive_image(run_image, tmp_path / "toolbox", env=env)
    return registry.push(image, "run-with-tools:latest")


def test_an_extension_switches_the_run_image_and_generates_dockerfiles(
    toolbox: str, by_programs: Callable[[Sample, str, str], ByPrograms]
) -> None:
    sample = replace(TOOLBOX, user_env={"TOOLBOX": toolbox, "TOOLBOX_IN_BUILD": "yes"})
    way = by_programs(sample, PHASES, REGISTRY)
    built = way.build(sample)
    expect_facts(built, sample)
    generated = way.work / "layers" / "generated" / "example_toolbox"
    assert (generated / "run.Dockerfile").read_text() == f"FROM {toolbox}\n"
    assert (generated / "build.Dockerfile").read_text().startswith("ARG base_image\nFROM ${base_image}\n")
    assert [table.string("id") for table in way.read("group").tables("group-extensions")] == ["example/toolbox"]
    assert built.image.env["TOOLBOX_KIND"] == "of the extension"
    assert built.image.label("io.buildpacks.lifecycle.metadata")["runImage"]["image"] == toolbox


def test_pybuild_switches_the_run_image_as_an_extension_wants(toolbox: str, by_pybuild: ByPybuild) -> None:
    # The report has the plan before the extension has met its entry.
    sample = replace(TOOLBOX, user_env={"TOOLBOX": toolbox}, plan={"toolbox": (("toolbox",), ({},))})
    built = by_pybuild.build(sample)
    expect_facts(built, sample)
    expect_runs(by_pybuild, built.image, (Run(says=("of the extension",)),))


def test_without_its_extension_nothing_has_the_toolbox(by_programs: Callable[[Sample, str, str], ByPrograms]) -> None:
    sample = replace(TOOLBOX, status=20)
    assert "requires `toolbox`" in by_programs(sample, PHASES, REGISTRY).fail(sample)


def test_creator_leaves_extensions_to_those_that_have_them(
    toolbox: str, by_programs: Callable[[Sample, str, str], ByPrograms]
) -> None:
    sample = replace(TOOLBOX, user_env={"TOOLBOX": toolbox}, status=22)
    assert "example/toolbox" in by_programs(sample, CREATOR, REGISTRY).fail(sample)


def expect_same(seen: dict[str, str], sample: Sample, built: Built) -> None:
    """What the build gave must be the same as in other ways."""
    assert comparable(built) == seen.setdefault(sample.name, comparable(built))


def expect_runs(way: ByPybuild, image: LayoutImage, runs: tuple[Run, ...]) -> None:
    """Processes of the image must say and end as the sample says. One container starts them all, each as it would be the only one."""
    script = []
    for run in runs:
        started = run.process or image.config["config"]["Entrypoint"][0]
        program = started if started.startswith("/") else f"/cnb/process/{started}"
        settings = (f"{name}={value}" for name, value in run.env.items())
        script += [shlex.join(["env", *settings, program, *run.command]), 'echo "status $?"']
    finished = way.pybuild("run", "--entrypoint", "bash", f"oci:{way.layout}", "--", "-c", "\n".join(script))
    assert finished.stdout.splitlines() == [line for run in runs for line in (*run.says, f"status {run.status}")], (
        finished.stderr
    )
