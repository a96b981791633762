"""One Dockerfile, one image: pybuild with and without Docker, buildah alone and Docker's BuildKit make the same files and config."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lifecycle.cnb.layer import remove_tree
from tests.integration.command import Pybuild, ordinary_environment
from tests.integration.dockerfile_bases import Bases, machine_newer_tools, machine_small_bases
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
from tests.integration.dockerfile_oracles import Buildah, BuildKit, Oracle, Refused, inside
from tests.integration.engine import DockerEngine, docker_engine, unmount_below
from tests.integration.image_tree import ImageContents
from tests.integration.workplace import share_builder

pytestmark = pytest.mark.engine

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
refused_by_name = pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)


@dataclass(slots=True)
class Oracles:
    """The other tools, and what they made of the cases so far."""

    directory: Path
    tools: list[Oracle]
    without_heredocs: tuple[str, ...]
    made: dict[str, Mapping[str, ImageContents | Refused]] = field(default_factory=dict)

    @property
    def measure(self) -> str:
        """The tool that the others are compared with."""
        return self.tools[0].name

    def images(self, case: Case) -> Mapping[str, ImageContents | Refused]:
        """What each tool makes of a case."""
        if case.name not in self.made:
            # What only it has more than the older one are heredocs.
            tools = [tool for tool in self.tools if tool.name != NEWER_BUILDAH or case.older is not None]
            with ThreadPoolExecutor(2) as pool:
                self.made[case.name] = dict(pool.map(lambda tool: (tool.name, self._build(tool, case)), tools))
        return self.made[case.name]

    def _build(self, tool: Oracle, case: Case) -> ImageContents | Refused:
        context = self.directory / "contexts" / case.name / tool.name
        return tool.build(case.write(context, older=tool.name in self.without_heredocs))


@pytest.fixture(scope="module")
def bases() -> Bases:
    """Images to begin with."""
    return machine_small_bases()


@pytest.fixture(scope="module")
def oracles(engine: DockerEngine, bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracles]:
    """Tools that know the bases; the first is the measure."""
    directory = tmp_path_factory.mktemp("oracles")
    for name in (BUILDAH, NEWER_BUILDAH):
        (directory / name).mkdir()
    with contextlib.ExitStack() as stack:
        # buildah leaves its storage mounted.
        stack.callback(unmount_below, directory)
        older = BuildKit(name=OLDER_BUILDKIT, engine=engine, directory=directory)
        tools: list[BuildKit | Buildah] = [older, Buildah(name=BUILDAH, directory=directory / BUILDAH)]
        if (root := machine_newer_tools()) is not None:
            newer = stack.enter_context(docker_engine(lambda place: [*inside(root, place), "/usr/sbin/dockerd"]))
            prefix = inside(root, directory, bases.directory)
            tools = [
                BuildKit(name=BUILDKIT, engine=newer, directory=directory),
                *tools,
                Buildah(name=NEWER_BUILDAH, directory=directory / NEWER_BUILDAH, prefix=prefix),
            ]
        for tool in tools:
            for image in bases.all_small():
                tool.load(image)
        yield Oracles(directory=directory, tools=list(tools), without_heredocs=(OLDER_BUILDKIT, BUILDAH))


@pytest.fixture(scope="module")
def pybuild_here(machine_store: Path, bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PybuildTool]:
    """pybuild with its own engine, for a builder that lets Dockerfiles do what they like."""
    directory = tmp_path_factory.mktemp("pybuild")
    cache_home = share_builder(machine_store, directory / "cache-home")
    options: list[str | Path] = ["--builder", full_policy(directory)]
    for image in bases.all_small():
        options += ["--base", image.option]
    command = Pybuild(env=ordinary_environment(cache_home))
    yield PybuildTool(name=PYBUILD, pybuild=command, options=options, directory=directory)
    remove_tree(cache_home)


@pytest.fixture(scope="module")
def pybuild_with_docker(pybuild_here: PybuildTool, engine: DockerEngine) -> PybuildTool:
    """The same with a Docker engine."""
    command = pybuild_here.pybuild.with_env(DOCKER_HOST=f"unix://{engine.socket}")
    options = [*pybuild_here.options, "--engine", "docker"]
    return replace(pybuild_here, name=PYBUILD_WITH_DOCKER, pybuild=command, options=options)


@by_name
def test_the_other_tools_agree_but_for_what_is_listed(case: Case, oracles: Oracles) -> None:
    images = dict(oracles.images(case))
    measure = images.pop(oracles.measure)
    assert isinstance(measure, ImageContents), measure.said
    for tool, image in images.items():
        if isinstance(image, Refused):
            assert may_refuse(tool, case.name), f"{tool}: {image.said}"
        else:
            found = unexplained(tool, case.name, find_differences(image, measure))
            assert not found, f"{tool}:\n" + "\n".join(found)


@refused_by_name
def test_the_other_tools_refuse_alike(case: Case, oracles: Oracles) -> None:
    for tool, image in oracles.images(case).items():
        assert isinstance(image, Refused), tool


@by_name
def test_pybuild_makes_the_same_image(case: Case, oracles: Oracles, pybuild_here: PybuildTool, tmp_path: Path) -> None:
    _expect_the_image_of_the_measure(case, oracles, pybuild_here, tmp_path)


@by_name
def test_pybuild_with_docker_makes_the_same_image(
    case: Case, oracles: Oracles, pybuild_with_docker: PybuildTool, tmp_path: Path
) -> None:
    _expect_the_image_of_the_measure(case, oracles, pybuild_with_docker, tmp_path)


@refused_by_name
def test_pybuild_refuses_what_the_others_refuse(case: Case, pybuild_here: PybuildTool, tmp_path: Path) -> None:
    assert isinstance(pybuild_here.build(case.write(tmp_path / "context")), Refused)


def _expect_the_image_of_the_measure(case: Case, oracles: Oracles, tool: PybuildTool, directory: Path) -> None:
    image = tool.build(case.write(directory / "context"))
    measure = oracles.images(case)[oracles.measure]
    assert isinstance(image, ImageContents), image.said
    assert isinstance(measure, ImageContents), measure.said
    assert not (found := unexplained(tool.name, case.name, find_differences(image, measure))), "\n".join(found)
