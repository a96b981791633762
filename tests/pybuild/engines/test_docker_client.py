"""Which docker command is taken, and what is said when none can be used. The commands are small programs of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.deadline import Deadline
from pybuild.engines.docker_client import DockerClient, find_docker
from pybuild.errors import DockerUnusable, MachineError, ToolMissing

OLD = '[ "$1" = --version ] && echo "Docker version 20.10.24+dfsg1, build 297e128"\n'
NEW = '[ "$1" = --version ] && echo "Docker version 28.2.2, build e6534b4"\n'
NO_PLUGIN = '[ "$1" = buildx ] && exit 1\n'
PODMAN = '[ "$1" = --version ] && echo "podman version 4.3.1"\n'
CONTEXT = '[ "$1" = context ] && echo colima\n'


def write_docker(directory: Path, script: str) -> Path:
    directory.mkdir()
    program = directory / "docker"
    program.write_text(f"#!/bin/sh\n{script}exit 0\n")
    program.chmod(0o755)
    return program


def find(*directories: Path, **env: str) -> DockerClient:
    path = ":".join(str(directory) for directory in directories)
    return find_docker({"PATH": path, **env}, Deadline.after(30))


def test_one_without_buildkit_is_passed_over(tmp_path: Path) -> None:
    write_docker(tmp_path / "a", NEW + NO_PLUGIN)
    write_docker(tmp_path / "b", PODMAN)
    program = write_docker(tmp_path / "c", OLD)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "docker").touch()
    client = find(
        tmp_path / "d", tmp_path / "a", tmp_path / "b", tmp_path / "c", DOCKER_HOST="x", SOURCE_DATE_EPOCH="0"
    )
    assert client.program == program
    assert (client.env["DOCKER_BUILDKIT"], client.env["DOCKER_HOST"]) == ("1", "x")
    assert "SOURCE_DATE_EPOCH" not in client.env


def test_a_plugin_builds_with_the_images_of_the_engine(tmp_path: Path) -> None:
    write_docker(tmp_path / "a", NEW + CONTEXT)
    assert find(tmp_path / "a", BUILDX_BUILDER="cloud").env["BUILDX_BUILDER"] == "colima"


def test_without_any_there_is_advice(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing):
        find(tmp_path)


@pytest.mark.parametrize("script", [NEW + NO_PLUGIN, PODMAN, OLD.replace("20.10", "19.03")])
def test_none_with_buildkit(tmp_path: Path, script: str) -> None:
    write_docker(tmp_path / "a", script)
    with pytest.raises(DockerUnusable) as caught:
        find(tmp_path / "a")
    assert "BuildKit" in caught.value.summary


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            "the Docker engine does not answer",
        ),
        (
            "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "this user may not use the Docker engine",
        ),
        ("something else", "`docker version` failed: something else"),
    ],
)
def test_an_engine_that_cannot_be_used(tmp_path: Path, said: str, summary: str) -> None:
    write_docker(tmp_path / "a", f"{OLD}[ \"$1\" = version ] && {{ echo '{said}' >&2; exit 1; }}\n")
    with pytest.raises(MachineError) as caught:
        find(tmp_path / "a")
    assert caught.value.summary == summary
