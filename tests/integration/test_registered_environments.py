"""Environments by the command: registered in a registry, built once, found again and resolved anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybuild.environments.environment import Environment
from pybuild.workspaces.workspace import Workspace
from tests.integration.command import Pybuild, expect_error, expect_success
from tests.integration.image_bills import all_versions, read_bill_archive
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.registry import Registry, start_registry

pytestmark = pytest.mark.integration


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
    # As the details name it: a blob that every client of registries can fetch.
    assert details.sbom is not None
    repository, _, digest = details.sbom.partition("@")
    assert repository == f"{registry.host}/team/analysis"
    bills = read_bill_archive(registry.blob("team/analysis", digest))
    assert bills.keys() == {"pybuild_python/cpython", "pybuild_pip/venv"}
    assert all_versions(bills["pybuild_pip/venv"]) == distributions(
        expect_success(env_command("run", second, "--", *LIST)).stdout
    )
    assert "hashes" in bills["pybuild_pip/venv"]["alpha"]
    assert "alpha==3.0" in details.locks["pybuild/pip"]["requirements.lock"]
