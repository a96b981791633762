"""What Kubernetes, Tekton, Shipwright and kpack make of the files of deploy/: pods, as documents of Kubernetes.

Tekton makes a container of each step, after parameters, results and workspaces are put in
(https://tekton.dev/docs/pipelines/tasks/); Shipwright makes a Task of a strategy (https://shipwright.io/docs/build/buildstrategies/).
All containers are in the order in which they run.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.deploy.documents import Document

_SUBSTITUTION = re.compile(r"\$\(([a-z]+(?:\.[A-Za-z0-9_-]+)+)\)")
_ALL_OF = re.compile(r"\$\(params\.([A-Za-z0-9_-]+)\[\*\]\)")
_RESULTS = "/tekton/results"
# Phases that may have credentials: they run no code of the repository or of packages.
TRUSTED_PHASES = frozenset({"analyze", "restore", "export"})

Value = str | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """`spec`: of a Pod. `config_maps`: those that whoever makes the pod makes with it; file names with contents."""

    spec: Document
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def containers(self) -> Iterator[Document]:
        """Containers as they run, one after the other."""
        yield from self.spec.get("initContainers", [])
        yield from self.spec["containers"]

    def volumes_of(self, container: Document) -> list[Document]:
        """Volumes that a container sees."""
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        return [volume for volume in self.spec["volumes"] if volume["name"] in mounted]


def pod_of_job(job: Document) -> Pod:
    """The pod of a Job."""
    return Pod(spec=job["spec"]["template"]["spec"])


def pod_of_task(task: Document, params: Mapping[str, Value], workspaces: Mapping[str, Document]) -> Pod:
    """The pod of a TaskRun. `workspaces`: what each is bound to, as a volume without its name."""
    spec = copy.deepcopy(task["spec"])
    declared = {workspace["name"]: workspace for workspace in spec["workspaces"]}
    assert set(workspaces) <= set(declared)
    missing = [name for name, one in declared.items() if name not in workspaces and not one.get("optional")]
    assert not missing, f"a TaskRun must bind {missing}"
    isolated = {usage["name"] for step in spec["steps"] for usage in step.get("workspaces", [])}
    for step in spec["steps"]:
        mounts = step.setdefault("volumeMounts", [])
        for name in workspaces:
            usage = next((usage for usage in step.get("workspaces", []) if usage["name"] == name), None)
            if name in isolated and usage is None:
                continue
            path = (usage or {}).get("mountPath", declared[name]["mountPath"])
            mounts.append({"name": name, "mountPath": path, "readOnly": declared[name].get("readOnly", False)})
    spec["volumes"] += [{"name": name, **source} for name, source in workspaces.items()]
    values = {param["name"]: params.get(param["name"], param.get("default")) for param in spec["params"]}
    assert set(params) <= set(values), "the Task has no such parameter"
    return _pod_of_steps(spec, values)


def pod_of_strategy(
    strategy: Document, params: Mapping[str, Value], volumes: Mapping[str, Document], system: Mapping[str, str]
) -> Pod:
    """The pod of a BuildRun. `volumes`: what the Build puts in the place of the strategy's. `system`: the parameters `shp-…`."""
    spec = copy.deepcopy(strategy["spec"])
    for volume in spec.get("volumes", []):
        is_overridable = volume.pop("overridable", False)
        volume.pop("description", None)
        if volume["name"] in volumes:
            assert is_overridable, f"the strategy lets no Build replace the volume `{volume['name']}`"
            del volume["emptyDir"]
            volume.update(volumes[volume["name"]])
    values: dict[str, Value | None] = {
        param["name"]: params.get(param["name"], param.get("default", param.get("defaults")))
        for param in spec["parameters"]
    }
    assert set(params) <= set(values), "the strategy has no such parameter"
    # What Shipwright's own step does, which clones the repository.
    spec["volumes"] = [*spec.get("volumes", []), {"name": "source", "persistentVolumeClaim": {"claimName": "source"}}]
    for step in spec["steps"]:
        step.setdefault("volumeMounts", []).append({"name": "source", "mountPath": system["shp-source-root"]})
        step["securityContext"] = {**spec.get("securityContext", {}), **step.get("securityContext", {})}
    return _pod_of_steps(spec, {**values, **system})


def _pod_of_steps(spec: Document, values: Mapping[str, Value | None]) -> Pod:
    step_template = spec.get("stepTemplate", {})
    scripts: dict[str, str] = {}
    containers = []
    for step in spec["steps"]:
        container = {name: value for name, value in step.items() if name not in ("workspaces", "script")}
        if "computeResources" in container:
            container["resources"] = container.pop("computeResources")
        container["env"] = [*step_template.get("env", []), *container.get("env", [])]
        container["securityContext"] = {
            **step_template.get("securityContext", {}),
            **container.get("securityContext", {}),
        }
        mounts = [*container.get("volumeMounts", []), {"name": "results", "mountPath": _RESULTS}]
        if "script" in step:
            scripts[step["name"]] = _substitute(step["script"], values)
            container["command"] = [f"/tekton/scripts/{step['name']}"]
            mounts.append({"name": "scripts", "mountPath": "/tekton/scripts"})
        container["volumeMounts"] = mounts
        containers.append(_substitute_all(container, values))
    volumes = [
        *spec.get("volumes", []),
        {"name": "results", "emptyDir": {}},
        {"name": "scripts", "configMap": {"name": "scripts", "defaultMode": 0o755}},
    ]
    made = {"restartPolicy": "Never", "initContainers": containers[:-1], "containers": containers[-1:]}
    return Pod(spec={**made, "volumes": volumes}, config_maps={"scripts": scripts})


def _substitute_all(value: object, values: Mapping[str, Value | None]) -> object:
    if isinstance(value, str):
        return _substitute(value, values)
    if isinstance(value, dict):
        return {name: _substitute_all(one, values) for name, one in value.items()}
    if isinstance(value, list):
        return [made for one in value for made in _substitute_item(one, values)]
    return value


def _substitute_item(item: object, values: Mapping[str, Value | None]) -> Iterator[object]:
    found = _ALL_OF.fullmatch(item) if isinstance(item, str) else None
    if found is None:
        yield _substitute_all(item, values)
        return
    listed = values[found[1]]
    assert listed is not None
    assert not isinstance(listed, str)
    yield from listed


def _substitute(text: str, values: Mapping[str, Value | None]) -> str:
    def value_of(match: re.Match[str]) -> str:
        kind, name, *rest = match[1].split(".")
        if kind == "params":
            value = values[name]
            assert isinstance(value, str), f"parameter `{name}` has no value"
            return value
        assert (kind, rest) == ("results", ["path"]), f"{match[0]} is not known"
        return f"{_RESULTS}/{name}"

    return _SUBSTITUTION.sub(value_of, text)
