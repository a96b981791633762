"""The creator: all phases in one program (platform.md, "Create")."""

from __future__ import annotations

import pytest

from lifecycle.cnb.order import write_order
from tests.conformance.images import GROUP, USER, Platform, push_run_image
from tests.conformance.kit import Ended, launch_toml, layer, read_toml
from tests.lifecycle.world import order

pytestmark = pytest.mark.integration

STORE = "printf '[metadata]\\ncount = 1\\n' > \"$1/store.toml\""


def create(platform: Platform, *arguments: str, api: str = "0.15", env: dict[str, str] | None = None) -> Ended:
    """Start the creator in an empty build container."""
    kept = (platform.lifecycle.layers / "order.toml").read_bytes()
    platform.lifecycle.forget()
    (platform.lifecycle.layers / "order.toml").write_bytes(kept)
    platform.cache.mkdir(exist_ok=True)
    flags = ("-cache-dir", str(platform.cache), "-run-image", platform.run, *arguments, platform.app)
    owner = {"CNB_USER_ID": str(USER), "CNB_GROUP_ID": str(GROUP)}
    return platform.lifecycle.start("creator", *flags, api=api, env={**owner, **(env or {})})


@pytest.fixture
def ready(platform: Platform) -> Platform:
    """With a run image, a buildpack that keeps what it can, and an order."""
    push_run_image(platform.registry)
    script = "\n".join(
        [
            f'[ ! -e "$1/store.toml" ] || {platform.lifecycle.note("store")}',
            f'[ ! -d "$1/c" ] || {platform.lifecycle.note("cache")}',
            f'[ ! -e "$1/l.toml" ] || {platform.lifecycle.note("launch")}',
            layer("c", "cache", files={"file": "x"}),
            layer("l", "launch", files={"file": "x"}),
            STORE,
            launch_toml('[[processes]]\ntype = "web"\ncommand = ["x"]\ndefault = true'),
        ]
    )
    platform.lifecycle.world.add("example/a", build=script)
    write_order(platform.lifecycle.layers / "order.toml", order("example/a"))
    return platform


@pytest.mark.requirement("CRE-01")
@pytest.mark.parametrize("api", ["0.12", "0.15"])
def test_the_creator_makes_the_image_that_the_phases_make(ready: Platform, api: str) -> None:
    ended = create(ready, api=api)
    assert (ended.status, ended.stderr) == (0, "")
    created = ready.read()
    assert read_toml(ready.lifecycle.layers / "report.toml")["image"]["digest"] == created.digest
    ready.registry.manifests.pop("team/app:1")
    assert ready.build("example/a", api=api).digest == created.digest


@pytest.mark.requirement("CRE-01")
def test_the_creator_restores_what_the_last_one_left(ready: Platform) -> None:
    assert create(ready).status == 0
    assert ready.lifecycle.noted == ""
    assert create(ready).status == 0
    assert ready.lifecycle.noted == "store cache launch"
    other = f"{ready.registry.host}/team/app:2"
    assert create(ready, "-skip-restore", "-tag", other).status == 0
    assert ready.lifecycle.noted == "store cache launch store"
    assert ready.read("team/app:2").digest == ready.read().digest
    assert create(ready, env={"CNB_SKIP_RESTORE": "true"}).status == 0
    assert ready.lifecycle.noted == "store cache launch store store"


@pytest.mark.requirement("CRE-01")
@pytest.mark.parametrize(
    ("detect", "build", "status"),
    [
        ("exit 100", "", 20),
        ("exit 1", "", 21),
        ("", "exit 1", 51),
        ("", 'echo "launch = true" > "$1/x.toml"', 52),
        ("", 'printf "[types]\\nlaunch = true\\n" > "$1/x.toml"', 62),
    ],
)
def test_the_creator_ends_with_the_code_of_the_phase_that_failed(
    ready: Platform, detect: str, build: str, status: int
) -> None:
    ready.lifecycle.world.add("b", detect=detect, build=build)
    write_order(ready.lifecycle.layers / "order.toml", order("b"))
    ended = create(ready)
    assert ended.status == status
    assert ended.stderr.startswith("error: ")
    assert "team/app:1" not in ready.registry.manifests


@pytest.mark.requirement("CRE-01")
def test_the_creator_needs_a_run_image(ready: Platform) -> None:
    ready.registry.manifests.clear()
    assert 30 <= create(ready).status <= 39


@pytest.mark.requirement("CRE-01", "GEN-06")
def test_no_credentials_reach_a_buildpack_of_the_creator(ready: Platform) -> None:
    ready.lifecycle.world.add("b", detect=ready.lifecycle.dump("detect"), build=ready.lifecycle.dump("build"))
    write_order(ready.lifecycle.layers / "order.toml", order("b"))
    env = {"CNB_REGISTRY_AUTH": f'{{"{ready.registry.host}": "Basic c2VjcmV0"}}', "DOCKER_CONFIG": "/nowhere"}
    assert create(ready, env=env).status == 0
    for phase in ("detect", "build"):
        found = ready.lifecycle.variables(phase)
        assert not {"CNB_REGISTRY_AUTH", "DOCKER_CONFIG"} & found.keys()


@pytest.mark.requirement("GEN-03", "CRE-01")
def test_a_buildpack_with_an_unsupported_api_ends_the_creator_with_12(ready: Platform) -> None:
    ready.lifecycle.world.add("b", api="0.9")
    write_order(ready.lifecycle.layers / "order.toml", order("b"))
    assert create(ready).status == 12


@pytest.mark.requirement("GEN-04")
def test_the_creator_wants_a_name(ready: Platform) -> None:
    assert ready.lifecycle.start("creator").status == 3


@pytest.mark.requirement("DIF-12")
def test_buildpacks_of_the_creator_know_the_target_when_they_detect(ready: Platform) -> None:
    labels = {"io.buildpacks.base.distro.name": "tests", "io.buildpacks.base.distro.version": "7"}
    push_run_image(ready.registry, labels=labels)
    ready.lifecycle.world.add("b", detect=ready.lifecycle.dump("env"))
    write_order(ready.lifecycle.layers / "order.toml", order("b"))
    assert create(ready).status == 0
    env = ready.lifecycle.variables("env")
    assert (env["CNB_TARGET_DISTRO_NAME"], env["CNB_TARGET_DISTRO_VERSION"]) == ("tests", "7")
