"""`pybuild build` of Dockerfiles whose base is in a registry on 127.0.0.1, or is to be somewhere else."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.command import expect_success
from tests.integration.dockerfile_bases import SMALL, Bases
from tests.integration.dockerfile_fixtures import bases, runs, sandbox_runs
from tests.integration.dockerfile_runs import DockerfileRuns
from tests.integration.registry import Registry, start_registry
from tests.loopback import make_certificates

__all__ = ["bases", "runs", "sandbox_runs"]

pytestmark = pytest.mark.integration
ALICE = ("alice", "canary-5d41402abc4b")
_AUTH_VARIABLES = ("CNB_REGISTRY_AUTH", "DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR")


@pytest.fixture(scope="module")
def private(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that only alice may read, with the small base."""
    with start_registry(tmp_path_factory.mktemp("private"), login=ALICE) as registry:
        registry.push(f"docker-archive:{bases.image(SMALL).archive}", "team/small:1")
        yield registry


@pytest.fixture
def name(private: Registry) -> str:
    return f"{private.host}/team/small:1"


def logged_in(runs: DockerfileRuns, registry: Registry, login: tuple[str, str] | None = ALICE) -> DockerfileRuns:
    """Builds of somebody with these credentials, and no others of the machine."""
    home = runs.directory / "home"
    home.mkdir(exist_ok=True)
    auth = "" if login is None else base64.b64encode(":".join(login).encode()).decode()
    document: Mapping[str, object] = {"auths": {} if login is None else {registry.host: {"auth": auth}}}
    (home / "config.json").write_text(json.dumps(document))
    env = {**dict.fromkeys(_AUTH_VARIABLES), "DOCKER_CONFIG": str(home)}
    command = runs.pybuild.with_env(**env)
    return DockerfileRuns(pybuild=command, directory=runs.directory, options=runs.options, settings=runs.settings)


def test_a_base_from_a_private_registry(runs: DockerfileRuns, private: Registry, name: str) -> None:
    own = logged_in(runs, private)
    report = own.directory / "report.json"
    # Whoever looks for credentials where commands run finds none.
    look = (
        "RUN echo made >/made; env >/seen; cat /proc/*/environ /proc/*/cmdline >>/seen 2>/dev/null; "
        "find / -name config.json -o -name auth.json 2>/dev/null >>/seen; true\n"
    )
    # A repository of its own: what another engine's build has pushed would be there, and not be mounted.
    target = f"docker://{private.host}/team/made-{uuid.uuid4().hex}:1"
    own.build(f"FROM {name}\n{look}", "--report", report, "--output", target)
    assert own.text("made") == "made\n"
    secrets = (ALICE[1], base64.b64encode(":".join(ALICE).encode()).decode())
    assert own.holding(*secrets) == []
    text = report.read_text()
    assert not any(secret in text for secret in secrets)
    [digest] = private.digests("team/small")
    assert digest in text
    # The layers of the base are in that registry, and are not sent there.
    (transfer,) = (one for one in json.loads(text)["transfers"] if one["output"].startswith(target))
    assert transfer["mounted"] > 100_000 > transfer["sent"] > 0
    # An image that is there is not fetched again; only the tag is asked for.
    before = private.log.count("GET /v2/team/small/")
    finished = own.build(f"FROM {name}\n{look}")
    assert private.log.count("GET /v2/team/small/") == before
    assert digest in finished.stderr


def test_without_and_with_wrong_credentials(sandbox_runs: DockerfileRuns, private: Registry, name: str) -> None:
    dockerfile = f"# first\nFROM {name}\nRUN echo\n"
    nobody = logged_in(sandbox_runs, private, None)
    nobody.fail(dockerfile, f"Dockerfile:2: `{name}`: the registry {private.host} wants credentials", status=32)
    mallory = logged_in(sandbox_runs, private, ("alice", "guessed-9a1"))
    said = mallory.fail(
        dockerfile, f"Dockerfile:2: `{name}`: the registry {private.host} refuses the credentials", status=32
    )
    assert "guessed-9a1" not in said


def test_an_image_that_is_not_there(sandbox_runs: DockerfileRuns, private: Registry) -> None:
    own = logged_in(sandbox_runs, private)
    own.fail(f"FROM {private.host}/team/small:2\n", "has no such image", "manifest unknown", status=32)
    own.fail(f"FROM --platform=linux/s390x {private.host}/team/small:1\n", "is not made for linux/s390x", status=32)


def test_a_pinned_base_and_one_that_is_not_that(sandbox_runs: DockerfileRuns, private: Registry, name: str) -> None:
    own = logged_in(sandbox_runs, private)
    [digest] = private.digests("team/small")
    own.build(f"FROM {name}@{digest}\nRUN echo pinned >/made\n")
    own.fail(f"FROM {name}@sha256:{'0' * 64}\n", "has no such image", status=32)
    own.with_options("--base", f"{name}={own.options[-1].__str__().partition('=')[2]}").fail(
        f"FROM {name}@sha256:{'0' * 64}\n", "is not that one", status=3
    )


def test_only_what_the_operator_allows(sandbox_runs: DockerfileRuns, private: Registry, name: str) -> None:
    own = logged_in(sandbox_runs, private)
    definition = Path(str(own.options[1]))
    text = definition.read_text()
    assert "[pybuild.dockerfile]\n" in text
    patterns = f'allow-bases = ["{private.host}/team/*", "docker.io/library/small:*"]\n'
    definition.write_text(text.replace("[pybuild.dockerfile]\n", f"[pybuild.dockerfile]\n{patterns}"))
    own.build(f"FROM {name}\nCOPY --from=small:1 /bin/busybox /made\n")
    before = private.log
    said = own.fail(
        f"FROM {name} AS one\nFROM {private.host}/other/small:1\nCOPY --from=one /bin /bin\nCOPY --from=evil.org/x /a /b\n",
        f"Dockerfile:2: this builder does not allow the base image `{private.host}/other/small:1`, and 1 more",
        "evil.org/x:latest",
        status=3,
    )
    assert f"`{private.host}/team/*`" in said
    assert private.log == before


def test_a_registry_that_is_gone(sandbox_runs: DockerfileRuns, bases: Bases, tmp_path: Path) -> None:
    with start_registry(tmp_path / "registry") as registry:
        name = registry.push(f"docker-archive:{bases.image(SMALL).archive}", "team/small:1")
        sandbox_runs.build(f"FROM {name}\nRUN echo 1 >/made\n")
    finished = sandbox_runs.build(f"FROM {name}\nRUN echo 2 >/made\n")
    assert f"taking what `{name}` was when it was last asked for" in finished.stderr
    assert sandbox_runs.text("made") == "2\n"
    sandbox_runs.fail(f"FROM {registry.host}/team/small:2\n", "cannot be reached: connection refused", status=32)


def test_tls_by_a_private_authority(sandbox_runs: DockerfileRuns, bases: Bases, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    with start_registry(tmp_path / "registry", login=ALICE, certificates=certificates) as registry:
        name = registry.push(f"docker-archive:{bases.image(SMALL).archive}", "team/small:1")
        own = logged_in(sandbox_runs, registry)
        own.fail(f"FROM {name}\n", "is not trusted", f"--insecure-registry {registry.host}", status=32)
        own.with_options("--insecure-registry", registry.host).build(f"FROM {name}\nRUN echo 1 >/made\n")
        assert own.text("made") == "1\n"


def test_images_of_registries_can_be_run(sandbox_runs: DockerfileRuns, private: Registry, name: str) -> None:
    own = logged_in(sandbox_runs, private)
    finished = expect_success(own.pybuild("run", f"docker://{name}", "--", "/bin/busybox", "echo", "here"))
    assert finished.stdout == "here\n"
