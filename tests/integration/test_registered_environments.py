"""Environments by the command: registered in a registry, built once, found again, resolved anew, and made by Docker alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybuild.builder import default_definition_path, read_definition
from pybuild.builder.tools import pip_wheel_path
from pybuild.environments.environment import Environment
from pybuild.workspaces.workspace import Workspace
from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.engine import DockerEngine
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.registry import Registry, start_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with start_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def env_command(offline_pybuild: Pybuild, registry: Registry) -> Pybuild:
    return offline_pybuild.with_env(PYBUILD_WORKSPACE=f"docker://{registry.host}/team")


def distributions(listed: str) -> dict[str, str]:
    return {one["name"]: one["version"] for one in json.loads(listed)}


def details_of(command: Pybuild, wanted: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(expect_success(command("env", "show", "--image", wanted)).stdout)
    return found


def register(command: Pybuild, directory: Path, requirements: str) -> str:
    file = directory / "requirements.txt"
    file.write_text(requirements)
    return expect_success(command("env", "register", "analysis", file)).stdout.strip()


LIST = ("python", "-m", "pip", "list", "--format", "json")


@pytest.mark.integration
def test_an_environment_is_built_once_and_resolved_anew_when_asked(
    env_command: Pybuild, registry: Registry, index: PackageIndex, tmp_path: Path
) -> None:
    expect_error(env_command("env", "show", "analysis"), 3, "has no environment `analysis`", "pybuild env register")
    assert register(env_command, tmp_path, "alpha\ngamma==1.0\n") == "analysis:1"
    assert register(env_command, tmp_path, "gamma == 1.0\nalpha\n") == "analysis:1"
    expect_error(
        env_command("env", "show", "--image", "analysis"), 3, "has not been built", "pybuild env build analysis:1"
    )

    first = expect_success(env_command("env", "build", "analysis")).stdout.strip()
    assert first.startswith(f"docker://{registry.host}/team/analysis:image-")
    listed = distributions(expect_success(env_command("run", first, "--", *LIST)).stdout)
    assert listed.items() >= {"alpha": "2.0", "gamma": "1.0"}.items()

    # Somebody else, and a newer package: what was built is found, and no index is asked.
    write_wheel(index.directory, "alpha", "3.0")
    elsewhere = env_command.with_env(HOME=str(tmp_path))
    index.requests.clear()
    again = expect_success(elsewhere("env", "build", "analysis:1"))
    assert again.stdout.strip() == first
    assert "was built by this builder" in again.stderr
    assert not index.requests

    refreshed = expect_success(env_command("env", "build", "--refresh", "analysis"))
    assert "~ alpha 2.0 -> 3.0" in refreshed.stderr
    second = refreshed.stdout.strip()
    assert second != first
    assert details_of(env_command, "analysis")["image"] == second
    unchanged = expect_success(env_command("env", "build", "--refresh", "analysis"))
    assert unchanged.stdout.strip() == second
    assert "Everything is resolved as before" in unchanged.stderr

    # What the registry has lost is made again, to the bit.
    with Workspace(f"docker://{registry.host}/team", env={}) as workspace:
        tag = second.partition("@")[0].rpartition(":")[2]
        artifact = workspace.repository("analysis").get("1")
        assert artifact is not None
        workspace.repository("analysis").put(artifact, tag)
        assert expect_success(env_command("env", "build", "analysis")).stdout.strip() == second

        assert register(env_command, tmp_path, "alpha==1.0\n") == "analysis:2"
        expect_success(env_command("env", "build", "analysis:2"))
        difference = expect_success(env_command("env", "diff", "analysis:1", "analysis:2")).stdout.splitlines()
        assert difference == [
            "pip packages:",
            "  - alpha",
            "  - gamma==1.0",
            "  + alpha==1.0",
            "resolved packages:",
            "  ~ alpha 3.0 -> 1.0",
            "  - gamma 1.0",
        ]
        details = Environment.get(workspace, "analysis", version=1).get_image_details(workspace)
    assert details.image == second
    assert dict(details)["digest"] == details["digest"] == second.partition("@")[2]
    assert details.sbom is None
    assert "alpha==3.0" in details.locks["pybuild/pip"]["requirements.lock"]


@pytest.mark.engine
def test_the_equivalent_dockerfile_makes_the_same_distributions(
    env_command: Pybuild, engine: DockerEngine, index: PackageIndex, machine_store: Path, tmp_path: Path
) -> None:
    register(env_command, tmp_path, "beta\ngamma\n")
    image = expect_success(env_command("env", "build", "analysis")).stdout.strip()
    expected = distributions(expect_success(env_command("run", image, "--", *LIST)).stdout)
    dockerfile = expect_success(env_command("env", "show", "--dockerfile", "analysis")).stdout
    assert "--require-hashes" in dockerfile
    assert "ARG BASE=docker.io/library/python:3.10" in dockerfile

    # The base is one with a Python of that version: the public one cannot be had everywhere.
    archive = tmp_path / "base.tar"
    source = image.partition("@")[0]
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", source, f"docker-archive:{archive}:base:1"]
    subprocess.run(command, check=True, env=dict(env_command.env))
    engine.load(archive)
    # pip of the version that the image has
    pip_version = read_definition(default_definition_path()).pip_version
    shutil.copy(pip_wheel_path(pip_version, machine_store), index.directory)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(dockerfile)
    arguments = ["BASE=base:1", f"PIP_INDEX_URL={index.url}"]
    options = [word for argument in arguments for word in ("--build-arg", argument)]
    engine("build", "--quiet", "--network", "host", *options, "--tag", "equivalent", str(context))
    made = engine("run", "--rm", "--network", "none", "--entrypoint", "", "equivalent", *LIST)
    assert distributions(made) == expected
    assert (
        engine("run", "--rm", "--entrypoint", "", "equivalent", "python", "-c", "import sys; print(sys.prefix)").strip()
        == "/opt/environment"
    )
