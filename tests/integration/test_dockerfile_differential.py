"""One Dockerfile, one image: pybuild with and without Docker, buildah alone and Docker's BuildKit make the same files and config."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.command import Pybuild, ordinary_environment
from tests.integration.dockerfile_bases import Bases, machine_newer_tools
from tests.integration.dockerfile_builds import PybuildTool, full_policy
from tests.integration.dockerfile_cases import CASES, REFUSED, Case
from tests.integration.dockerfile_differences import (
    BUILDAH,
    BUILDKIT,
    NEWER_BUILDAH,
    OLDER_BUILDKIT,
    PYBUILD,
    PYBUILD_WITH_DOCKER,
    find_differences,
    may_refuse,
    unexplained,
)
from tests.integration.dockerfile_fixtures import bases
from tests.integration.dockerfile_oracles import Buildah, BuildKit, Oracle, Refused, inside
from tests.integration.engine import DockerEngine, docker_engine, unmount_below
from tests.integration.image_tree import ImageContents
from tests.integration.workplace import share_builder

__all__ = ["bases"]

pytestmark = pytest.mark.engine

WITH_DOCKER = [case for case in CASES if not case.is_of_words]


def by_name(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """A test for each case."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@dataclass(slots=True)
class Tools:
    """All that build Dockerfiles, and what they made of the cases so far."""

    directory: Path
    measure: str
    """Name of the tool that the others are compared with."""
    all: Sequence[Oracle]
    made: dict[tuple[str, str], ImageContents | Refused] = field(default_factory=dict)

    def images(self, case: Case, names: Sequence[str]) -> Mapping[str, ImageContents | Refused]:
        """What those tools make of a case that shall be asked about it, by the name of the tool."""
        tools = [tool for tool in self.all if tool.name in names and _is_wanted(tool.name, case)]
        missing = [tool for tool in tools if (case.name, tool.name) not in self.made]
        # Most of the time they wait for each other's disks and for programs to start.
        with ThreadPoolExecutor(len(tools)) as pool:
            for tool, image in zip(missing, pool.map(lambda tool: self._build(tool, case), missing), strict=True):
                self.made[case.name, tool.name] = image
        return {tool.name: self.made[case.name, tool.name] for tool in tools}

    def image(self, case: Case, name: str) -> ImageContents:
        """What that tool makes of a case, which it must not refuse."""
        image = self.images(case, (self.measure, PYBUILD, PYBUILD_WITH_DOCKER, name))[name]
        assert isinstance(image, ImageContents), f"{name}: {image.said}"
        return image

    def expect_the_measure(self, case: Case, name: str) -> None:
        """Fail with what a tool makes differently, but for what is listed."""
        found = find_differences(self.image(case, name), self.image(case, self.measure))
        assert not (unlisted := unexplained(name, case.name, found)), f"{name}:\n" + "\n".join(unlisted)

    @property
    def others(self) -> Sequence[str]:
        """Names of the tools that are not pybuild."""
        return [tool.name for tool in self.all if tool.name not in (PYBUILD, PYBUILD_WITH_DOCKER)]

    def _build(self, tool: Oracle, case: Case) -> ImageContents | Refused:
        context = self.directory / "contexts" / case.name / tool.name
        return tool.build(case.write(context, older=tool.name in (OLDER_BUILDKIT, BUILDAH)))


def _is_wanted(tool: str, case: Case) -> bool:
    if tool == PYBUILD_WITH_DOCKER:
        return case in WITH_DOCKER
    # What only the newer one knows are heredocs.
    return tool != NEWER_BUILDAH or case.older is not None


@pytest.fixture(scope="module")
def others(engine: DockerEngine, bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Oracle]]:
    """The tools that are not pybuild; the first is the measure."""
    directory = tmp_path_factory.mktemp("others")
    for name in (BUILDAH, NEWER_BUILDAH):
        (directory / name).mkdir()
    with contextlib.ExitStack() as stack:
        # buildah leaves its storage mounted.
        stack.callback(unmount_below, directory)
        older = BuildKit(name=OLDER_BUILDKIT, engine=engine, directory=directory)
        tools: list[BuildKit | Buildah] = [older, Buildah(name=BUILDAH, directory=directory / BUILDAH)]
        if (root := machine_newer_tools()) is not None:
            newer = stack.enter_context(docker_engine(lambda place: [*inside(root, place), "/usr/sbin/dockerd"]))
            prefix = inside(root, tmp_path_factory.getbasetemp(), bases.directory)
            tools = [
                BuildKit(name=BUILDKIT, engine=newer, directory=directory),
                *tools,
                Buildah(name=NEWER_BUILDAH, directory=directory / NEWER_BUILDAH, prefix=prefix),
            ]
        for tool in tools:
            for image in bases.all_small():
                tool.load(image)
        yield tools


@pytest.fixture(scope="module")
def tools(
    others: Sequence[Oracle],
    engine: DockerEngine,
    machine_store: Path,
    bases: Bases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tools]:
    """Those and pybuild, with its own engine and with Docker, for a builder that lets Dockerfiles do what they like."""
    directory = tmp_path_factory.mktemp("tools")
    cache_home = share_builder(machine_store, directory / "cache-home")
    options: list[str | Path] = ["--builder", full_policy(directory)]
    for image in bases.all_small():
        options += ["--base", image.option]
    command = Pybuild(env=ordinary_environment(cache_home))
    own = PybuildTool(name=PYBUILD, pybuild=command, options=options, directory=directory)
    with_docker = PybuildTool(
        name=PYBUILD_WITH_DOCKER,
        pybuild=command.with_env(DOCKER_HOST=f"unix://{engine.socket}"),
        options=(*options, "--engine", "docker"),
        directory=directory,
    )
    yield Tools(directory=directory, measure=others[0].name, all=[*others, own, with_docker])
    remove_tree(cache_home)


@by_name(CASES)
def test_pybuild_makes_the_same_image(case: Case, tools: Tools) -> None:
    tools.expect_the_measure(case, PYBUILD)


@by_name(WITH_DOCKER)
def test_pybuild_makes_the_same_image_with_docker(case: Case, tools: Tools) -> None:
    tools.expect_the_measure(case, PYBUILD_WITH_DOCKER)


@by_name(REFUSED)
def test_what_the_measure_refuses_pybuild_refuses(case: Case, tools: Tools) -> None:
    for tool, image in tools.images(case, (tools.measure, PYBUILD)).items():
        assert isinstance(image, Refused), tool


# What they make shows how far the measure is one: nothing of it is pybuild's.
@pytest.mark.thorough
@by_name(CASES)
def test_the_other_tools_agree_but_for_what_is_listed(case: Case, tools: Tools) -> None:
    for tool, image in tools.images(case, tools.others).items():
        if not (isinstance(image, Refused) and may_refuse(tool, case.name)):
            tools.expect_the_measure(case, tool)


@pytest.mark.thorough
@by_name(REFUSED)
def test_what_the_measure_refuses_the_other_tools_refuse(case: Case, tools: Tools) -> None:
    for tool, image in tools.images(case, tools.others).items():
        assert isinstance(image, Refused), tool
