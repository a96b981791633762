from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from pybuild.environments.building import CONTEXTS
from pybuild.environments.conda_dependencies import CondaDependencies
from pybuild.environments.environment import Environment
from pybuild.environments.sections import ContainerRegistry
from pybuild.errors import UsageError


def test_equal_environments_are_built_from_one_context(tmp_path: Path) -> None:
    requests = []
    for packages in (["a", "b"], ["b", "a"]):
        env = Environment(f"of-{packages[0]}")
        env.python.conda_dependencies = CondaDependencies.create(pip_packages=packages)
        requests.append(env.build_request(store=tmp_path))
    assert requests[0] == requests[1]
    context = Path(requests[0].repository)
    assert context.parent == tmp_path / CONTEXTS
    assert (context / "requirements.txt").read_text() == "a\nb\n"
    assert not requests[0].trusts_project


def test_a_script_of_the_context_is_trusted(tmp_path: Path) -> None:
    env = Environment("one")
    env.environment_variables["A"] = "1"
    assert env.build_request(store=tmp_path).trusts_project


def test_a_repository_is_built_where_it_is(tmp_path: Path) -> None:
    url = "https://git.example.org/team/x#v1"
    assert Environment.from_repository("one", url).build_request(store=tmp_path).repository == url
    assert list(tmp_path.iterdir()) == []


def test_credentials_go_beside_those_of_the_machine() -> None:
    registry = ContainerRegistry("registry.example.org", "me", "geheim")
    known = {"CNB_REGISTRY_AUTH": json.dumps({"other.example.org": "Basic eDp5"}), "HOME": "/home/me"}
    expected = {
        "other.example.org": "Basic eDp5",
        "registry.example.org": f"Basic {base64.b64encode(b'me:geheim').decode()}",
    }
    for env in (
        Environment.from_docker_image("one", "team/base:1", registry),
        Environment.from_docker_image("one", "registry.example.org/team/base:1", registry),
    ):
        variables = env.host_env(known)
        assert json.loads(variables["CNB_REGISTRY_AUTH"]) == expected
        assert variables["HOME"] == "/home/me"
    assert known["CNB_REGISTRY_AUTH"] == json.dumps({"other.example.org": "Basic eDp5"})
    assert Environment("plain").host_env({"A": "1"}) == {"A": "1"}


def test_credentials_of_a_dockerfiles_registry_are_those_of_its_address() -> None:
    env = Environment.from_dockerfile("one", "FROM registry.example.org/team/base:1")
    env.docker.base_image_registry = ContainerRegistry("registry.example.org", "me", "geheim")
    assert list(json.loads(env.host_env({})["CNB_REGISTRY_AUTH"])) == ["registry.example.org"]


def test_what_azure_ml_builds_elsewhere_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    env = Environment("one")
    with pytest.raises(UsageError, match="not for `Windows`"):
        env.build_local(None, "Windows", store=tmp_path)
    with pytest.raises(UsageError) as caught:
        env.build_local(None, "Linux", useDocker=True, pushImageToWorkspaceAcr=True, store=tmp_path)
    assert caught.value.hint is not None
    assert "outputs=" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
