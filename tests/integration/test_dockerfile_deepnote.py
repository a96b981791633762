"""The Dockerfile that Deepnote documents for its users, on a Python image, by the default builder: an ordinary user builds it without
Docker, and a Docker engine makes the same files of it.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.command import Pybuild, expect_success
from tests.integration.dockerfile_bases import BaseImage, machine_python_base
from tests.integration.dockerfile_differences import Difference, find_differences
from tests.integration.engine import DockerEngine
from tests.integration.image_check import validate_image
from tests.integration.image_tree import Facts, contents_of_layout
from tests.integration.machine import OrdinaryUser, install_pybuild, ordinary_user

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
    "/root/.cache/pip/selfcheck/*": "the time at which pip looked for a newer one",
    "*.pyc": "times of the sources",
}
_STORE_PARTS = ("bases", "interpreters", "poetry", "wheels")


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
    for name in _STORE_PARTS:
        user.give(machine_store / name, user.home / "cache" / "pybuild" / name)
    env = {**user.environment(), "XDG_CACHE_HOME": str(user.home / "cache"), "NO_COLOR": "1"}
    return Pybuild(env=env, program=(str(install_pybuild(user)),), prefix=user.prefix, cwd=user.home)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with nothing but that Dockerfile."""
    directory = tmp_path / "repository"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE)
    return directory


def test_an_ordinary_user_and_docker_make_the_same_files(
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
    image = f"oci:{user.home / 'layout'}"
    expect_success(theirs("build", user.home / "repository", *base, "--output", image))
    validate_image(user.home / "layout")
    ran = expect_success(theirs("run", image, "--", "python", "-c", "import cv2; print(cv2.__version__)"))
    assert ran.stdout.strip()
    expect_success(theirs("check", image, "--profile", "deepnote"))

    with_docker = new_pybuild("docker").with_env(DOCKER_HOST=f"unix://{engine.socket}")
    output = ("--output", f"oci:{tmp_path / 'layout'}")
    expect_success(with_docker("build", repository, "--engine", "docker", *base, *output))
    validate_image(tmp_path / "layout")
    found = find_differences(contents_of_layout(user.home / "layout"), contents_of_layout(tmp_path / "layout"))
    assert not (real := [str(one) for one in found if not _differs_from_run_to_run(one)]), "\n".join(real)


def _differs_from_run_to_run(difference: Difference) -> bool:
    """Whether only the content differs, of a file that no two builds make alike."""
    one, other = difference.here, difference.there
    if not isinstance(one, Facts) or not isinstance(other, Facts):
        return False
    is_volatile = any(fnmatch.fnmatchcase(difference.place, pattern) for pattern in _DIFFER_FROM_RUN_TO_RUN)
    return is_volatile and (one.kind, one.mode, one.owner) == (other.kind, other.mode, other.owner)
