"""One repository, three ways: in the sandbox, with a Docker engine, and by `creator` in a container of the builder image."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybuild.host import CA_BUNDLE_IN_BUILD, read_host_settings
from tests.integration.command import FIXTURES, Pybuild, expect_success, ordinary_environment
from tests.integration.conda_build import as_mirror
from tests.integration.conda_server import ChannelServer, without_proxies
from tests.integration.engine import DockerEngine
from tests.integration.package_index import PackageIndex
from tests.integration.registry import Registry, start_registry

pytestmark = pytest.mark.engine

_BUILDER = "tests/builder:creator"
_LOGIN = ("someone", "the password")
_BUILD_USER = 1000
_ROOT = "0:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A registry that wants a login, and an engine that has the builder image, whose run image is in that registry."""

    engine: DockerEngine
    registry: Registry
    definition: Path
    directory: Path

    def image(self, name: str) -> str:
        return f"{self.registry.host}/team/{name}:latest"

    def reaching(self, pybuild: Pybuild) -> Pybuild:
        """The command with what it needs for the registry and the engine."""
        config = self.registry.config_file(self.directory / "login").parent
        return pybuild.with_env(DOCKER_CONFIG=str(config), DOCKER_HOST=f"unix://{self.engine.socket}")

    def build(self, pybuild: Pybuild, repository: Path, name: str, *options: str) -> str:
        """Digest of what `pybuild build` pushes."""
        target = ("--tag", self.image(name), "--publish", "--builder", str(self.definition))
        done = expect_success(self.reaching(pybuild)("build", repository, *target, *options))
        return _digest(done.stdout)

    def create(
        self, repository: Path, name: str, env: Mapping[str, str], settings: Mapping[str, str], *flags: str, user: str
    ) -> str:
        """Digest of what `creator` pushes from a container; `env` is the machine's environment, `settings` variables of the build.

        Another user than root has no capability.
        """
        directory = self.directory / f"container-{name}"
        app, platform_env = directory / "app", directory / "platform" / "env"
        shutil.copytree(repository, app)
        platform_env.mkdir(parents=True)
        host = read_host_settings(env, Path.home())
        options = ["--rm", "--network", "host", "--user", user, "--security-opt", "no-new-privileges"]
        options += ["--cap-drop", "ALL"] if user != _ROOT else []
        for mount in host.mounts:
            options += ["--volume", f"{mount.source}:{mount.target}:ro"]
        variables = {**host.indexes, **settings}
        if host.ca_bundle is not None:
            options += ["--volume", f"{host.ca_bundle.resolve()}:{CA_BUNDLE_IN_BUILD}:ro"]
            variables |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(CA_BUNDLE_IN_BUILD))
        for variable, value in variables.items():
            (platform_env / variable).write_text(value)
        for variable, value in {**host.proxies, "CNB_PLATFORM_API": "0.15", "CNB_REGISTRY_AUTH": self._auth()}.items():
            options += ["--env", f"{variable}={value}"]
        options += ["--volume", f"{app}:/workspace", "--volume", f"{platform_env}:/platform/env"]
        for path in (app, *app.rglob("*")):
            os.chown(path, _BUILD_USER, _BUILD_USER, follow_symlinks=False)
        said = self.engine("run", *options, _BUILDER, "/cnb/lifecycle/creator", *flags, self.image(name))
        return _digest(said)

    def _auth(self) -> str:
        login = base64.b64encode(":".join(_LOGIN).encode()).decode()
        return json.dumps({self.registry.host: f"Basic {login}"})


def _digest(said: str) -> str:
    """The digest behind the last place where an image was put."""
    found: str = re.findall(r"docker://\S+@(sha256:[0-9a-f]{64})", said)[-1]
    return found


@pytest.fixture(scope="module")
def site(engine: DockerEngine, machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("creator")
    with start_registry(directory / "registry", login=_LOGIN) as registry:
        definition = directory / "builder.toml"
        run_image = f"{registry.host}/pybuild/run:bookworm"
        definition.write_text(f'[[run.images]]\nimage = "{run_image}"\n[pybuild]\nextends = "default"\n')
        made = Site(engine=engine, registry=registry, definition=definition, directory=directory)
        pybuild = made.reaching(Pybuild(env=ordinary_environment(machine_store.parent)))
        places = ["--output", f"docker-daemon:{_BUILDER}", "--run-output", f"docker://{run_image}"]
        expect_success(pybuild("builder", "create", "--builder", definition, *places))
        yield made
        engine("image", "rm", "--force", _BUILDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A repository, and what a machine needs to build it. `settings` are variables of the build, `env` the machine's."""

    repository: Path
    settings: Mapping[str, str]
    env: Mapping[str, str | None]


@pytest.fixture(params=["pip", "conda", "poetry"])
def case(request: pytest.FixtureRequest, tmp_path: Path, index: PackageIndex, channel: ChannelServer) -> Case:
    repository = tmp_path / "repository"
    if request.param == "pip":
        repository.mkdir()
        (repository / "requirements.txt").write_text("beta\n")
        (repository / "main.py").write_text("import alpha\nprint(alpha.VERSION)\n")
        return Case(repository=repository, settings={}, env=index.settings())
    fixture = {"conda": "conda_basic", "poetry": "poetry_package"}[request.param]
    shutil.copytree(FIXTURES / fixture, repository)
    if request.param == "conda":
        return Case(repository=repository, settings=as_mirror(channel), env=without_proxies())
    return Case(repository=repository, settings={}, env={})


def test_one_repository_three_ways_is_one_image(
    site: Site, case: Case, new_pybuild: Callable[[str], Pybuild], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    options = [word for variable, value in case.settings.items() for word in ("--env", f"{variable}={value}")]
    sandbox, docker = (new_pybuild(way).with_env(**case.env) for way in ("sandbox", "docker"))
    expected = site.build(sandbox, case.repository, f"{name}-sandbox", *options)
    since = f"{time.time():.9f}"
    assert site.build(docker, case.repository, f"{name}-docker", "--engine", "docker", *options) == expected
    # Of detection and of the build: it was no sandbox.
    assert len(site.engine.containers_since(since)) == 2
    cache = f"-cache-image={site.image(f'{name}-cache')}"
    # The second finds what the first has cached.
    for attempt, user in (("first", f"{_BUILD_USER}:{_BUILD_USER}"), ("again", _ROOT)):
        target = f"{name}-creator-{attempt}"
        found = site.create(case.repository, target, sandbox.env, case.settings, cache, user=user)
        assert found == expected, attempt


def test_an_engine_has_the_image_with_all_its_tags_and_the_next_build_takes_what_the_launch_cache_kept(
    site: Site, tmp_path: Path, index: PackageIndex, new_pybuild: Callable[[str], Pybuild]
) -> None:
    engine, run_image = site.engine, "tests/run:creator"
    reaching = site.reaching(new_pybuild("daemon"))
    expect_success(
        reaching("builder", "create", "--builder", site.definition, "--run-output", f"docker-daemon:{run_image}")
    )
    app, platform_env = tmp_path / "app", tmp_path / "platform"
    app.mkdir()
    (app / "requirements.txt").write_text("gamma\n")
    os.chown(app, _BUILD_USER, _BUILD_USER)
    platform_env.mkdir()
    for variable, value in index.settings().items():
        if value is not None:
            (platform_env / variable).write_text(value)
    options = ["--rm", "--network", "host", "--user", "0:0", "--env", "CNB_PLATFORM_API=0.15"]
    options += ["--volume", f"{engine.socket}:/var/run/docker.sock", "--volume", f"{app}:/workspace"]
    options += ["--volume", f"{platform_env}:/platform/env", "--volume", f"{tmp_path / 'launch'}:/launch"]
    flags = ("-daemon", "-launch-cache", "/launch", "-run-image", run_image, "-tag", "tests/app:two", "tests/app:one")
    identities = []
    for _ in range(2):
        said = engine("run", *options, _BUILDER, "/cnb/lifecycle/creator", *flags)
        identities.append(engine("image", "inspect", "--format", "{{.Id}}", "tests/app:one").strip())
    assert identities[0] == identities[1] == engine("image", "inspect", "--format", "{{.Id}}", "tests/app:two").strip()
    assert "Reusing layer `pybuild/pip:" in said
    assert engine("run", "--rm", "tests/app:one", "python", "-c", "import gamma; print('found')") == "found\n"
    engine("image", "rm", "--force", "tests/app:one", "tests/app:two", run_image)
