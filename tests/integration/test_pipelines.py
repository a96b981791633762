"""The files of deploy/ build an image: their scripts run as their platforms run them, in containers of the builder image."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.ci import Script, github_scripts, gitlab_script
from tests.deploy.documents import Document, read_document, read_documents
from tests.deploy.pods import TRUSTED_PHASES, Pod, pod_of_job, pod_of_strategy, pod_of_task
from tests.deploy.public_strategies import (
    Wanted,
    kpack_pod,
    shipwright_pod,
    tekton_creator_pod,
    tekton_phases_pod,
)
from tests.documents import blocks_of
from tests.integration.command import CHECKOUT, Pybuild, expect_success, ordinary_environment
from tests.integration.engine import DockerEngine
from tests.integration.git_server import GitServer
from tests.integration.package_index import PackageIndex, write_wheel
from tests.integration.pipelines import PROJECT, USER, Site, secret_volume
from tests.integration.registry import start_registry

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def site(engine: DockerEngine, machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with (
        start_registry(directory / "registry", login=("someone", "the password")) as registry,
        PackageIndex(directory / "index") as index,
        GitServer(directory / "git") as git,
    ):
        write_wheel(index.directory, "alpha", "1.0")
        git.commit("project", PROJECT)
        made = Site(engine=engine, registry=registry, index=index, git=git, directory=directory)
        config = registry.config_file(directory / "docker").parent
        pybuild = Pybuild(env=ordinary_environment(machine_store.parent)).with_env(DOCKER_CONFIG=str(config))
        places = ["--output", f"docker://{made.builder}", "--run-output", f"docker://{made.run_image}"]
        expect_success(pybuild("builder", "create", "--builder", made.definition, *places))
        engine("login", "--username", made.login[0], "--password", made.login[1], registry.host)
        engine("pull", "--quiet", made.builder)
        yield made
        engine("logout", registry.host)


@pytest.fixture(scope="module")
def expected(site: Site, machine_store: Path) -> str:
    """Digest of the image that `pybuild build` makes of the project."""
    config = site.registry.config_file(site.directory / "docker").parent
    pybuild = Pybuild(env=ordinary_environment(machine_store.parent)).with_env(
        DOCKER_CONFIG=str(config), **site.index.settings()
    )
    clone = site.clone(site.directory / "expected", os.geteuid())
    expect_success(pybuild("build", clone, "--builder", site.definition, "--tag", site.image("expected"), "--publish"))
    return site.digest("expected")


def _job(name: str) -> Pod:
    return pod_of_job(read_document(f"kubernetes/{name}.yaml", "Job"))


def _settings(site: Site, image: str) -> dict[str, dict[str, str]]:
    maps = {
        document["metadata"]["name"]: dict(document["data"]) for document in read_documents("kubernetes/settings.yaml")
    }
    maps["pybuild"] |= {
        "SOURCE_URL": f"{site.git.url}/project.git",
        "IMAGE": site.image(image),
        "CNB_CACHE_IMAGE": site.image(f"{image}-cache"),
    }
    maps["pybuild-build-env"] |= site.build_env
    return maps


def _task(site: Site, name: str, image: str) -> Pod:
    params = {
        "IMAGE": site.image(image),
        "BUILDER_IMAGE": site.builder,
        "CACHE_IMAGE": site.image(f"{image}-cache"),
        "BUILD_ENV": [f"{name}={value}" for name, value in site.build_env.items()],
    }
    source: Document = {"persistentVolumeClaim": {"claimName": "project-source"}}
    task = read_document(f"tekton/{name}.yaml", "Task")
    return pod_of_task(task, params, {"source": source, "credentials": secret_volume()})


def _strategy(site: Site, image: str) -> Pod:
    params = {
        "builder-image": site.builder,
        "cache-image": site.image(f"{image}-cache"),
        "build-env": [f"{name}={value}" for name, value in site.build_env.items()],
    }
    system = {
        "shp-source-root": "/workspace/source",
        "shp-source-context": "/workspace/source",
        "shp-output-image": site.image(image),
        "shp-output-insecure": "true",
    }
    strategy = read_document("shipwright/strategy.yaml", "ClusterBuildStrategy")
    return pod_of_strategy(strategy, params, {"registry-credentials": secret_volume()}, system)


def test_a_job_makes_the_image_that_pybuild_makes_on_any_node_with_what_the_cache_has(
    site: Site, expected: str
) -> None:
    settings = _settings(site, "job")
    for node in ("first", "second"):
        site.index.requests.clear()
        said = site.node(node, config_maps=settings).run(_job("job"))
        assert site.digest("job") == expected
        fetched = [path for path in site.index.requests if path.startswith("/files/")]
        assert bool(fetched) == (node == "first"), said["build"]
    assert site.run_image_of("job") == "alpha 1.0\n"


def test_phases_with_foreign_code_find_no_credentials(site: Site) -> None:
    password = site.login[1]
    seeks = 'id -u; env; cat /credentials/* "$HOME"/.docker/* "$DOCKER_CONFIG"/* /run/containers/*/* 2>&1; true'
    pods = {"job": _job("job"), "task": _task(site, "task", "task"), "strategy": _strategy(site, "strategy")}
    for name, pod in pods.items():
        node = site.node(f"seek-{name}", config_maps=_settings(site, "seek"))
        for phase, said in node.probe(pod, seeks).items():
            assert said.splitlines()[0] == str(USER)
            assert (site.docker_config in said or password in said) == (phase in TRUSTED_PHASES), f"{name}, {phase}"


def test_the_job_of_one_container_makes_the_same_image(site: Site, expected: str) -> None:
    site.node("job-creator", config_maps=_settings(site, "job-creator")).run(_job("job-creator"))
    assert site.digest("job-creator") == expected


@pytest.mark.parametrize("name", ["task", "task-creator"])
def test_a_tekton_task_makes_the_same_image_and_tells_its_digest(site: Site, expected: str, name: str) -> None:
    node = site.node(name)
    node.run(_task(site, name, name))
    assert site.digest(name) == expected
    assert (node.directory / "results" / "IMAGE_DIGEST").read_text() == expected
    assert (node.directory / "results" / "IMAGE_URL").read_text() == site.image(name)


def test_a_shipwright_strategy_makes_an_image_and_tells_its_digest(site: Site) -> None:
    node = site.node("strategy")
    node.run(_strategy(site, "strategy"))
    assert (node.directory / "results" / "shp-image-digest").read_text() == site.digest("strategy")
    site.engine("pull", "--quiet", site.image("strategy"))
    assert site.run_image_of("strategy") == "alpha 1.0\n"


def test_github_s_steps_make_the_same_image_and_tell_its_digest(site: Site, expected: str, tmp_path: Path) -> None:
    (workflow,) = read_documents("github/image.yml")
    context = {"github.repository": "group/project", "github.run_id": "1", "github.run_attempt": "1"}
    context |= {"github.actor": site.login[0], "secrets.GITHUB_TOKEN": site.login[1]}
    env = {
        "BUILDER": site.builder,
        "IMAGE": site.image("github"),
        "CNB_CACHE_IMAGE": site.image("github-cache"),
        "REGISTRY": site.registry.host,
        "BUILD_ENV": "".join(f"{name}={value}\n" for name, value in site.build_env.items()),
        "CONTAINER_OPTIONS": f"{workflow['env']['CONTAINER_OPTIONS']} --network host",
    }
    machine = {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    (tmp_path / "temp").mkdir()
    clone = site.clone(tmp_path / "clone", os.geteuid())
    for script in github_scripts(workflow, "image", context, env):
        site.run_here(script, clone, machine)
    assert site.digest("github") == expected
    assert (tmp_path / "output").read_text() == f"digest={expected}\n"
    assert "pybuild-1-1" not in site.engine("volume", "ls", "--quiet")


def _gitlab_variables(site: Site, image: str) -> dict[str, str]:
    return {
        "CI_JOB_ID": "7",
        "CI_REGISTRY": site.registry.host,
        "CI_REGISTRY_USER": site.login[0],
        "CI_REGISTRY_PASSWORD": site.login[1],
        "CI_REGISTRY_IMAGE": f"{site.registry.host}/group/{image}",
        "CI_COMMIT_REF_SLUG": "latest",
        "BUILDER": site.builder,
        "BUILD_ENV": "".join(f"{name}={value}\n" for name, value in site.build_env.items()),
    }


def test_gitlab_s_job_makes_the_same_image(site: Site, expected: str, tmp_path: Path) -> None:
    (pipeline,) = read_documents("gitlab/pybuild.gitlab-ci.yml")
    clone = site.clone(tmp_path / "clone", os.geteuid())
    variables = _gitlab_variables(site, "gitlab") | {
        "CI_PROJECT_DIR": str(clone),
        "CONTAINER_OPTIONS": f"{pipeline['variables']['CONTAINER_OPTIONS']} --network host",
    }
    site.run_here(gitlab_script(pipeline, ".pybuild", variables), clone, {})
    assert site.digest("gitlab") == expected


def test_gitlab_s_job_in_the_builder_image_makes_the_same_image(site: Site, expected: str, tmp_path: Path) -> None:
    (pipeline,) = read_documents("gitlab/pybuild.gitlab-ci.yml")
    script = gitlab_script(pipeline, ".pybuild-creator", _gitlab_variables(site, "gitlab-creator"))
    user = pipeline[".pybuild-creator"]["image"]["docker"]["user"]
    site.run_in_builder(script, site.clone(tmp_path / "clone", USER), user=user)
    assert site.digest("gitlab-creator") == expected


def test_the_commands_of_the_documentation_make_the_same_image(site: Site, expected: str, tmp_path: Path) -> None:
    commands = next(
        block.text for block in blocks_of(CHECKOUT / "docs" / "pipelines.md", "sh") if block.section == "By hand"
    )
    login = base64.b64encode(":".join(site.login).encode()).decode()
    for written, meant in {
        "registry.example.org/group/project:latest": site.image("by-hand"),
        "registry.example.org": site.registry.host,
        "Basic …": f"Basic {login}",
        "https://pypi.org/simple": site.index.url,
        "docker run": "docker run --network host",
    }.items():
        assert written in commands
        commands = commands.replace(written, meant)
    script = Script(name="by hand", shell=("bash", "-eo", "pipefail", "-c"), text=commands, env={})
    site.run_here(script, site.clone(tmp_path / "clone", os.geteuid()), {})
    assert site.digest("by-hand") == expected


def test_kpack_finds_the_buildpacks_of_its_order_in_the_builder_image(site: Site) -> None:
    """What its ClusterStore and ClusterStack read: the layer of each buildpack, and who the build's user is."""
    config = site.inspect(site.builder)
    layers = json.loads(config["config"]["Labels"]["io.buildpacks.buildpack.layers"])
    for group in read_document("kpack/builder.yaml", "ClusterBuilder")["spec"]["order"]:
        for member in group["group"]:
            (found,) = layers[member["id"]].values()
            assert found["layerDiffID"] in config["rootfs"]["diff_ids"]
            assert found["api"] == "0.12"
    assert {"CNB_USER_ID=1000", "CNB_GROUP_ID=1000"} <= set(config["config"]["Env"])


@pytest.mark.parametrize(
    ("make", "platform_api"),
    [
        pytest.param(kpack_pod, "0.12", id="kpack"),
        pytest.param(shipwright_pod, "0.13", id="shipwright"),
        pytest.param(tekton_phases_pod, "0.13", id="tekton-phases"),
        pytest.param(tekton_creator_pod, "0.13", id="tekton-creator"),
    ],
)
def test_what_public_platforms_start_makes_an_image(
    site: Site, make: Callable[[Wanted, str], Pod], platform_api: str
) -> None:
    name = make.__name__.replace("_", "-")
    wanted = Wanted(
        image=site.image(name),
        cache_image=site.image(f"{name}-cache"),
        run_image=site.run_image,
        insecure=site.registry.host,
        build_env=site.build_env,
        credentials=secret_volume(),
    )
    site.node(name).run(make(wanted, platform_api))
    assert site.run_image_of(name) == "alpha 1.0\n"
