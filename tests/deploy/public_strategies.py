"""How public platforms start the programs of a builder image, in words of our own: the same commands, flags and variables.

kpack: https://github.com/buildpacks-community/kpack/blob/main/pkg/apis/build/v1alpha2/build_pod.go
Shipwright: https://github.com/shipwright-io/build/tree/main/samples/v1beta1/buildstrategy/buildpacks-v3
Tekton: https://github.com/tektoncd/catalog/tree/main/task/buildpacks-phases/0.3 and …/task/buildpacks/0.6
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.deploy.documents import BUILDER, Document
from tests.deploy.pods import Pod

# Where the shell finds the registry's credentials in each of them.
_HOME = "/builder/home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is built. `insecure` are registries without TLS, `build_env` variables of buildpacks."""

    image: str
    cache_image: str
    run_image: str
    insecure: str
    build_env: Mapping[str, str]
    credentials: Document


def kpack_pod(wanted: Wanted, platform_api: str) -> Pod:
    """The pod of a Build. What kpack's own program `prepare` writes is given as volumes."""
    cache = f"-cache-image={wanted.cache_image}"
    home = {"name": "HOME", "value": _HOME}
    login = _mount("credentials", f"{_HOME}/.docker")
    phases = (
        _container(
            "analyze",
            ["/cnb/lifecycle/analyzer"],
            [
                "-layers=/layers",
                "-analyzed=/layers/analyzed.toml",
                f"-run-image={wanted.run_image}",
                cache,
                wanted.image,
            ],
            env=[home, {"name": "SERVICE_BINDING_ROOT", "value": "/platform/bindings"}],
            mounts=[_LAYERS, _APP, login],
        ),
        _container(
            "detect",
            ["/cnb/lifecycle/detector"],
            ["-app=/workspace", "-group=/layers/group.toml", "-plan=/layers/plan.toml"],
            mounts=[_LAYERS, _PLATFORM_ENV, _APP],
        ),
        _container(
            "restore",
            ["/cnb/lifecycle/restorer"],
            ["-group=/layers/group.toml", "-layers=/layers", cache, "-analyzed=/layers/analyzed.toml"],
            env=[home],
            mounts=[_LAYERS, login],
        ),
        _container(
            "build",
            ["/cnb/lifecycle/builder"],
            ["-layers=/layers", "-app=/workspace", "-group=/layers/group.toml", "-plan=/layers/plan.toml"],
            env=[{"name": "SERVICE_BINDING_ROOT", "value": "/platform/bindings"}],
            mounts=[_LAYERS, _PLATFORM_ENV, _APP],
        ),
        _container(
            "export",
            ["/cnb/lifecycle/exporter"],
            [
                *("-layers=/layers", "-app=/workspace", "-group=/layers/group.toml", "-analyzed=/layers/analyzed.toml"),
                *("-project-metadata=/layers/project-metadata.toml", cache, "-report=/var/report/report.toml"),
                wanted.image,
            ],
            env=[home, {"name": "CNB_RUN_IMAGE", "value": wanted.run_image}],
            mounts=[_LAYERS, _APP, login, _mount("report", "/var/report")],
        ),
    )
    for phase in phases:
        phase["env"].append({"name": "CNB_PLATFORM_API", "value": platform_api})
        phase["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return _pod(
        phases, wanted, {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}, "report"
    )


def shipwright_pod(wanted: Wanted, platform_api: str) -> Pod:
    """The pod of the strategy `buildpacks-v3`: one container, of the user 1001 as the strategy has it."""
    script = """
        set -euo pipefail
        [ "$PARAM_OUTPUT_INSECURE" != true ] || export CNB_INSECURE_REGISTRIES="${PARAM_OUTPUT_IMAGE%%/*},"
        while IFS='=' read -r -d '' name value; do
          case "$name" in PATH | HOSTNAME | PWD | _ | SHLVL | HOME) ;; *) printf %s "$value" > "/platform/env/$name" ;; esac
        done < <(env --null)
        layers=/tmp/.shp/layers cache=/tmp/.shp/cache
        mkdir -p "$layers" "$cache"
        /cnb/lifecycle/analyzer -layers="$layers" "$PARAM_OUTPUT_IMAGE"
        /cnb/lifecycle/detector -app="$PARAM_SOURCE_CONTEXT" -layers="$layers"
        /cnb/lifecycle/restorer -cache-dir="$cache" -layers="$layers"
        /cnb/lifecycle/builder -app="$PARAM_SOURCE_CONTEXT" -layers="$layers"
        flags=(-layers="$layers" -report=/tmp/report.toml -cache-dir="$cache" -app="$PARAM_SOURCE_CONTEXT")
        grep -q buildpack-default-process-type "$layers/config/metadata.toml" || flags+=(-process-type web)
        /cnb/lifecycle/exporter "${flags[@]}" "$PARAM_OUTPUT_IMAGE"
        grep digest /tmp/report.toml | tail -n 1 | tr -d ' \\"\\n' | sed s/digest=// > /tekton/results/shp-image-digest
    """
    env = {
        "CNB_PLATFORM_API": platform_api,
        "PARAM_SOURCE_CONTEXT": "/workspace/source",
        "PARAM_OUTPUT_IMAGE": wanted.image,
        "PARAM_OUTPUT_INSECURE": "true",
        "DOCKER_CONFIG": "/credentials",
        **wanted.build_env,
    }
    container = _container(
        "build-and-push",
        ["/bin/bash"],
        ["-c", script, "--", "--insecure-registries"],
        env=[{"name": name, "value": value} for name, value in env.items()],
        mounts=[
            _mount("app", "/workspace/source"),
            _mount("written-env", "/platform/env"),
            _mount("credentials", "/credentials"),
            _mount("results", "/tekton/results"),
        ],
    )
    context = {"runAsUser": 1001, "runAsGroup": 1000}
    return _pod([container], wanted, context, "written-env", "results")


def tekton_phases_pod(wanted: Wanted, platform_api: str) -> Pod:
    """The pod of the task `buildpacks-phases`, without its first two steps, which read labels and give directories away as root."""
    user = ["-uid=1000", "-gid=1000"]
    insecure = f"-insecure-registry={wanted.insecure}"
    level = "-log-level=info"
    platform = "-platform=/platform"
    app = "-app=/workspace/source/"
    login = _mount("credentials", "/tekton/home/.docker")
    steps = (
        _container(
            "analyze",
            ["/cnb/lifecycle/analyzer"],
            [
                *(
                    level,
                    "-layers=/layers",
                    f"-run-image={wanted.run_image}",
                    f"-cache-image={wanted.cache_image}",
                    *user,
                ),
                *(insecure, "-tag=", "-skip-layers=false", wanted.image),
            ],
            mounts=[_LAYERS, login],
        ),
        _container(
            "detect",
            ["/cnb/lifecycle/detector"],
            [level, app, "-group=/layers/group.toml", "-plan=/layers/plan.toml", "-layers=/layers", platform],
            mounts=[_LAYERS, _PLATFORM_ENV, _TEKTON_SOURCE],
        ),
        _container(
            "restore",
            ["bash"],
            [
                "-c",
                # The task's step has no variable CNB_LAYERS_DIR; `-layers=` is empty there.
                f"/cnb/lifecycle/restorer {level} -build-image={BUILDER} -group=/layers/group.toml -layers=${{CNB_LAYERS_DIR}} "
                f"-cache-dir= -cache-image={wanted.cache_image} -uid=1000 -gid=1000 {insecure} -skip-layers=false",
            ],
            mounts=[_LAYERS, login],
        ),
        _container(
            "build",
            ["/cnb/lifecycle/builder"],
            [level, app, "-layers=/layers", "-group=/layers/group.toml", "-plan=/layers/plan.toml", platform],
            mounts=[_LAYERS, _PLATFORM_ENV, _TEKTON_SOURCE],
        ),
        _container(
            "export",
            ["/cnb/lifecycle/exporter"],
            [
                *(level, app, "-layers=/layers", "-group=/layers/group.toml", "-cache-dir="),
                *(
                    f"-cache-image={wanted.cache_image}",
                    "-report=/layers/report.toml",
                    "-process-type=",
                    *user,
                    insecure,
                ),
                wanted.image,
            ],
            mounts=[_LAYERS, login, _TEKTON_SOURCE],
        ),
    )
    for step in steps:
        step["env"] += [
            {"name": "CNB_EXPERIMENTAL_MODE", "value": "silent"},
            {"name": "HOME", "value": "/tekton/home"},
            {"name": "CNB_PLATFORM_API", "value": platform_api},
        ]
    return _pod(steps, wanted, {"fsGroup": 1000})


def tekton_creator_pod(wanted: Wanted, platform_api: str) -> Pod:
    """The pod of the task `buildpacks`, without the step that gives directories away as root."""
    step = _container(
        "create",
        ["/cnb/lifecycle/creator"],
        [
            *("-app=/workspace/source/", "-cache-dir=", f"-cache-image={wanted.cache_image}", "-uid=1000", "-gid=1000"),
            *("-layers=/layers", "-platform=/platform", "-report=/layers/report.toml", "-process-type="),
            *("-skip-restore=false", f"-previous-image={wanted.image}", f"-run-image={wanted.run_image}", wanted.image),
        ],
        env=[
            {"name": "CNB_PLATFORM_API", "value": platform_api},
            {"name": "DOCKER_CONFIG", "value": "/workspace/dockerconfig"},
        ],
        mounts=[_LAYERS, _PLATFORM_ENV, _TEKTON_SOURCE, _mount("credentials", "/workspace/dockerconfig")],
    )
    step["securityContext"] = {"runAsUser": 1000, "runAsGroup": 1000}
    return _pod([step], wanted, {"fsGroup": 1000})


def _mount(name: str, path: str) -> Document:
    return {"name": name, "mountPath": path}


_LAYERS = _mount("layers", "/layers")
_APP = _mount("app", "/workspace")
_TEKTON_SOURCE = _mount("app", "/workspace/source")
_PLATFORM_ENV = _mount("platform-env", "/platform/env")


def _container(
    name: str,
    command: Sequence[str],
    args: Sequence[str],
    *,
    mounts: Sequence[Document],
    env: Sequence[Document] = (),
) -> Document:
    made = {"name": name, "image": BUILDER, "command": list(command), "args": list(args)}
    return {**made, "env": list(env), "volumeMounts": list(mounts)}


def _pod(containers: Sequence[Document], wanted: Wanted, context: Document, *empty: str) -> Pod:
    volumes: list[Document] = [
        {"name": "app", "persistentVolumeClaim": {"claimName": "source"}},
        {"name": "layers", "emptyDir": {}},
        {"name": "platform-env", "configMap": {"name": "platform-env"}},
        {"name": "credentials", **wanted.credentials},
        *({"name": name, "emptyDir": {}} for name in empty),
    ]
    spec = {"securityContext": context, "initContainers": list(containers[:-1]), "containers": list(containers[-1:])}
    return Pod(spec={**spec, "volumes": volumes}, config_maps={"platform-env": wanted.build_env})
