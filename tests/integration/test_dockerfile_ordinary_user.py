"""An ordinary user builds Dockerfiles without Docker, and a Docker engine makes the same files of them: those where owners and modes
count, and the one that Deepnote documents for its users, on a Python image, by the default builder.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pybuild.builder import default_definition_path, ensure_builder, read_definition
from tests.integration.command import CHECKOUT, Pybuild, expect_success
from tests.integration.dockerfile_bases import BaseImage, Bases, machine_python_base
from tests.integration.dockerfile_builds import full_policy
from tests.integration.dockerfile_cases import CASES
from tests.integration.dockerfile_differences import (
    OLDER_BUILDKIT,
    PYBUILD,
    Difference,
    find_differences,
    unexplained,
)
from tests.integration.dockerfile_fixtures import bases
from tests.integration.dockerfile_oracles import BuildKit
from tests.integration.engine import DockerEngine
from tests.integration.image_check import validate_image
from tests.integration.image_tree import Facts, ImageContents, contents_of_layout
from tests.integration.machine import OrdinaryUser, install_pybuild, ordinary_user
from tests.pybuild.recording_log import RecordingLog

__all__ = ["bases"]

pytestmark = pytest.mark.engine

# https://deepnote.com/docs/custom-environments
DOCKERFILE = """\
FROM python:3.11
RUN apt-get update && apt-get install -y ffmpeg libsm6 libxext6
RUN pip install opencv-python
"""
# What is written by the clock, or drawn by lot, whoever builds.
_DIFFER_FROM_RUN_TO_RUN = {
    "/var/log/*": "lines with times",
    "/var/cache/apt/*.bin": "times of the lists that it is made of",
    "/var/cache/ldconfig/aux-cache": "inodes and times of libraries",
    "/var/cache/fontconfig/*": "times of the directories of fonts",
    "/var/lib/dbus/machine-id": "a random number",
    "*/.cache/pip/selfcheck/*": "the time at which pip looked for a newer one",
    "*.pyc": "times of the sources",
}
# Where files belong to several users, or are changed, or come to be where something is mounted.
_CASES = ("user", "copy_chown_and_chmod", "add", "changes_of_every_kind", "base_without_mount_points")
_STORE_PARTS = ("interpreters", "natives", "poetry", "wheels")


@pytest.fixture(scope="module")
def python_base(machine_store: Path) -> BaseImage:
    """What stands for docker.io/library/python:3.11."""
    return machine_python_base(machine_store)


@pytest.fixture(scope="module")
def user() -> Iterator[OrdinaryUser]:
    """A user who is nobody special and knows of no Docker engine."""
    if os.geteuid() != 0:
        pytest.skip("a Docker engine needs root")
    with ordinary_user("pybuild-deepnote") as made:
        yield made


@pytest.fixture(scope="module")
def theirs(user: OrdinaryUser, machine_store: Path) -> Pybuild:
    """The command of that user, whose store has the parts of the builder."""
    builder = ensure_builder(read_definition(default_definition_path()), machine_store, RecordingLog())
    # The machine may have bases of other builders too, which are large.
    bases = [base.directory for base in (builder.build_base, builder.run_base)]
    for path in (*bases, *(machine_store / name for name in _STORE_PARTS)):
        user.give(path, user.home / "cache" / "pybuild" / path.relative_to(machine_store))
    env = {**user.environment(), "XDG_CACHE_HOME": str(user.home / "cache"), "NO_COLOR": "1"}
    return Pybuild(env=env, program=(str(install_pybuild(user)),), prefix=user.prefix, cwd=user.home)


@pytest.fixture(scope="module")
def options(user: OrdinaryUser, bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Sequence[str | Path]:
    """Options of that user's builds: a builder that lets Dockerfiles do what they like, and bases."""
    user.give(CHECKOUT / "buildpacks", user.home / "buildpacks")
    user.give(full_policy(tmp_path_factory.mktemp("builder"), user.home).parent, user.home / "builder")
    user.give(bases.directory, user.home / "bases")
    options: list[str | Path] = ["--builder", user.home / "builder" / "builder.toml"]
    for image in Bases(directory=user.home / "bases").all_small():
        options += ["--base", image.option]
    return options


@pytest.fixture(scope="module")
def buildkit(engine: DockerEngine, bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> BuildKit:
    """What Docker itself makes of the same."""
    tool = BuildKit(name=OLDER_BUILDKIT, engine=engine, directory=tmp_path_factory.mktemp("buildkit"))
    for image in bases.all_small():
        tool.load(image)
    return tool


@pytest.mark.parametrize("name", _CASES)
def test_an_ordinary_user_makes_the_image_of_docker(
    name: str, user: OrdinaryUser, theirs: Pybuild, options: Sequence[str | Path], buildkit: BuildKit, tmp_path: Path
) -> None:
    (case,) = (case for case in CASES if case.name == name)
    request = case.write(tmp_path / "context")
    measure = buildkit.build(request)
    assert isinstance(measure, ImageContents), measure.said
    user.give(request.context, user.home / "contexts" / name)
    layout = user.home / "layouts" / name
    expect_success(theirs("build", user.home / "contexts" / name, *options, "--output", f"oci:{layout}"))
    validate_image(layout)
    found = find_differences(contents_of_layout(layout), measure)
    assert not (unlisted := unexplained(PYBUILD, name, found)), "\n".join(unlisted)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with nothing but the Dockerfile of Deepnote's documentation."""
    directory = tmp_path / "repository"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE)
    return directory


@pytest.mark.thorough
def test_the_dockerfile_of_deepnote_gives_the_same_files_with_and_without_docker(
    user: OrdinaryUser,
    theirs: Pybuild,
    python_base: BaseImage,
    repository: Path,
    new_pybuild: Callable[[str], Pybuild],
    engine: DockerEngine,
    tmp_path: Path,
) -> None:
    user.give(repository, user.home / "repository")
    user.give(python_base.directory / "layout", user.home / "python")
    base = ("--base", f"{python_base.full_name}=oci:{user.home / 'python'}")

    def build(command: Pybuild, source: Path, layout: Path, *options: str) -> ImageContents:
        expect_success(command("build", source, *base, *options, "--output", f"oci:{layout}"))
        validate_image(layout)
        return contents_of_layout(layout)

    docker = new_pybuild("docker").with_env(DOCKER_HOST=f"unix://{engine.socket}")
    with ThreadPoolExecutor(2) as pool:
        without = pool.submit(build, theirs, user.home / "repository", user.home / "layout")
        with_docker = pool.submit(build, docker, repository, tmp_path / "layout", "--engine", "docker")
    found = find_differences(without.result(), with_docker.result())
    assert not (real := [str(one) for one in found if not _differs_from_run_to_run(one)]), "\n".join(real)
    image = f"oci:{user.home / 'layout'}"
    ran = expect_success(theirs("run", image, "--", "python", "-c", "import cv2; print(cv2.__version__)"))
    assert ran.stdout.strip()
    expect_success(theirs("check", image, "--profile", "deepnote"))


def _differs_from_run_to_run(difference: Difference) -> bool:
    """Whether only the content differs, of a file that no two builds make alike."""
    one, other = difference.here, difference.there
    if not isinstance(one, Facts) or not isinstance(other, Facts):
        return False
    is_volatile = any(fnmatch.fnmatchcase(difference.place, pattern) for pattern in _DIFFER_FROM_RUN_TO_RUN)
    return is_volatile and (one.kind, one.mode, one.owner) == (other.kind, other.mode, other.owner)
