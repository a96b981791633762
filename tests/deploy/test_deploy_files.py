"""The files of deploy/ are what the schemas of their platforms say, and keep credentials where no foreign code runs."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.ci import github_scripts, gitlab_script
from tests.deploy.documents import BUILDER, DEPLOY, Document, read_document, read_documents
from tests.deploy.pods import TRUSTED_PHASES, Pod, pod_of_job, pod_of_strategy, pod_of_task

_KUBERNETES = ("1.25", "1.37")
_SECRET: Document = {"secret": {"secretName": "registry-credentials"}}
_SYSTEM = {
    "shp-source-root": "/workspace/source",
    "shp-source-context": "/workspace/source",
    "shp-output-image": "registry.example.org/project",
    "shp-output-insecure": "false",
}
# Own schemas: those of the platforms are not published as packages.
_OWN = {
    name: json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text())
    for name in ("tekton", "shipwright", "kpack")
}
_OF_OWN_SCHEMAS = [
    (schema, path.relative_to(DEPLOY).as_posix())
    for schema in _OWN
    for path in sorted((DEPLOY / schema).glob("*.yaml"))
]


def _job() -> Pod:
    return pod_of_job(read_document("kubernetes/job.yaml", "Job"))


def _task(name: str = "task.yaml") -> Pod:
    source: Document = {"persistentVolumeClaim": {"claimName": "project-source"}}
    workspaces = {"source": source, "credentials": _SECRET}
    return pod_of_task(read_document(f"tekton/{name}", "Task"), {"IMAGE": "registry.example.org/project"}, workspaces)


def _strategy() -> Pod:
    document = read_document("shipwright/strategy.yaml", "ClusterBuildStrategy")
    return pod_of_strategy(document, {}, {"registry-credentials": _SECRET}, _SYSTEM)


_IN_PHASES: Mapping[str, Callable[[], Pod]] = {"job": _job, "task": _task, "strategy": _strategy}
_PODS: Mapping[str, Callable[[], Pod]] = {
    **_IN_PHASES,
    "job-creator": lambda: pod_of_job(read_document("kubernetes/job-creator.yaml", "Job")),
    "task-creator": lambda: _task("task-creator.yaml"),
}


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        pytest.param("vendor.github-workflows", "github/image.yml", id="github"),
        pytest.param("vendor.gitlab-ci", "gitlab/pybuild.gitlab-ci.yml", id="gitlab"),
    ],
)
def test_a_pipeline_is_valid_against_the_schema_of_its_service(schema: str, name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(DEPLOY / name)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("version", _KUBERNETES)
@pytest.mark.parametrize("name", sorted(path.name for path in (DEPLOY / "kubernetes").iterdir()))
def test_objects_of_kubernetes_are_valid_against_its_schemas(name: str, version: str) -> None:
    for document in read_documents(f"kubernetes/{name}"):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", _KUBERNETES)
@pytest.mark.parametrize("name", _PODS)
def test_steps_become_pods_that_are_valid_against_the_schema_of_kubernetes(name: str, version: str) -> None:
    pod: Document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "build"}, "spec": _PODS[name]().spec}
    kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize(("schema", "name"), _OF_OWN_SCHEMAS)
def test_resources_of_tekton_shipwright_and_kpack_have_the_documented_fields(schema: str, name: str) -> None:
    for document in read_documents(name):
        jsonschema.validate(document, _OWN[schema])


@pytest.mark.parametrize(("schema", "name"), _OF_OWN_SCHEMAS)
def test_own_schemas_refuse_what_is_misspelt(schema: str, name: str) -> None:
    for document in read_documents(name):
        for field in document["spec"]:
            misspelt = copy.deepcopy(document)
            misspelt["spec"][f"{field}s"] = misspelt["spec"].pop(field)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(misspelt, _OWN[schema])


@pytest.mark.parametrize("name", _IN_PHASES)
def test_only_phases_that_run_no_foreign_code_see_credentials(name: str) -> None:
    pod = _IN_PHASES[name]()
    with_secret = {
        container["name"]
        for container in pod.containers
        if any("secret" in volume for volume in pod.volumes_of(container))
    }
    assert with_secret == TRUSTED_PHASES


@pytest.mark.parametrize("name", _PODS)
def test_every_container_is_of_an_unprivileged_user(name: str) -> None:
    pod = _PODS[name]()
    for container in pod.containers:
        context = {**pod.spec.get("securityContext", {}), **container["securityContext"]}
        assert (context["runAsUser"], context["runAsGroup"]) == (1000, 1000)
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", _PODS)
def test_every_container_is_of_the_builder_image(name: str) -> None:
    assert {container["image"] for container in _PODS[name]().containers} == {BUILDER}


def test_a_task_without_credentials_has_no_volume_for_them() -> None:
    source: Document = {"emptyDir": {}}
    task = read_document("tekton/task.yaml", "Task")
    pod = pod_of_task(task, {"IMAGE": "registry.example.org/project"}, {"source": source})
    assert "credentials" not in {volume["name"] for volume in pod.spec["volumes"]}


def test_steps_of_github_that_run_foreign_code_have_no_secrets() -> None:
    (workflow,) = read_documents("github/image.yml")
    context = {"github.repository": "example/project", "github.run_id": "1", "github.run_attempt": "1"}
    context |= {"github.actor": "someone", "secrets.GITHUB_TOKEN": "the token"}
    scripts = {script.name: script for script in github_scripts(workflow, "image", context, {})}
    with_token = {name for name, script in scripts.items() if "the token" in script.env.values()}
    assert with_token == {"Builder", "Analyze", "Restore", "Export"}
    assert "REGISTRY_AUTH" not in scripts["Detect"].text + scripts["Build"].text
    checkout = workflow["jobs"]["image"]["steps"][0]
    assert checkout["with"]["persist-credentials"] is False


def test_containers_of_gitlab_that_run_foreign_code_have_no_secrets() -> None:
    (pipeline,) = read_documents("gitlab/pybuild.gitlab-ci.yml")
    lines = gitlab_script(pipeline, ".pybuild", {}).text.splitlines()
    with_secret = [line.split("/cnb/lifecycle/")[1].split()[0] for line in lines if "--env CNB_REGISTRY_AUTH" in line]
    assert with_secret == ["analyzer", "restorer", "exporter"]
