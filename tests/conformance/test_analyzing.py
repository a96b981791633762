"""The analyzer, with images on registries of this process (platform.md, "Analyze")."""

from __future__ import annotations

import json

import pytest

from tests.conformance.images import ARCHITECTURE, Platform, push_run_image
from tests.conformance.kit import launch_toml, layer, read_toml, write_toml
from tests.lifecycle.registry.fake_registry import FakeRegistry

pytestmark = pytest.mark.integration


def analyzed(platform: Platform) -> dict[str, object]:
    return read_toml(platform.lifecycle.layers / "analyzed.toml")


def has_no_previous(platform: Platform) -> bool:
    found = analyzed(platform)
    image = found.get("image", {})
    assert isinstance(image, dict)
    metadata = found.get("metadata", {})
    assert isinstance(metadata, dict)
    return not image.get("reference") and not metadata.get("buildpacks")


@pytest.mark.requirement("ANA-01")
@pytest.mark.parametrize("api", ["0.12", "0.15"])
def test_without_a_previous_image_there_is_no_metadata(platform: Platform, api: str) -> None:
    push_run_image(platform.registry)
    ended = platform.analyze("-cache-image", f"{platform.registry.host}/team/cache:1", api=api)
    assert (ended.status, ended.stderr) == (0, "")
    assert has_no_previous(platform)


@pytest.mark.requirement("ANA-01")
@pytest.mark.parametrize("label", [None, "not JSON", "{}"])
def test_an_image_that_no_lifecycle_made_is_no_previous_image(platform: Platform, label: str | None) -> None:
    push_run_image(platform.registry)
    labels = {} if label is None else {"io.buildpacks.lifecycle.metadata": label}
    push_run_image(platform.registry, "team/app:1", labels=labels)
    assert platform.analyze().status == 0
    metadata = analyzed(platform).get("metadata", {})
    assert isinstance(metadata, dict)
    assert not metadata.get("buildpacks")


@pytest.mark.requirement("ANA-02")
def test_a_mirror_on_the_registry_of_the_image_is_preferred(platform: Platform) -> None:
    with FakeRegistry() as other:
        elsewhere = f"{other.host}/team/run:1"
        push_run_image(other)
        images = [{"image": elsewhere, "mirrors": [f"{other.host}/team/mirror:1", platform.run]}]
        write_toml(platform.lifecycle.root / "run.toml", {"images": images})
        env = {"CNB_RUN_PATH": str(platform.lifecycle.root / "run.toml")}

        def chosen() -> str:
            ended = platform.lifecycle.start("analyzer", platform.app, env=env)
            assert ended.status == 0, ended.stderr
            run_image = analyzed(platform)["run-image"]
            assert isinstance(run_image, dict)
            return str(run_image["reference"])

        # The mirror is not there: the first that is.
        assert chosen().startswith(f"{other.host}/team/run@sha256:")
        here = push_run_image(platform.registry)
        assert chosen() == here
        other.manifests.clear()
        platform.registry.manifests.clear()
        ended = platform.lifecycle.start("analyzer", platform.app, env=env)
        assert 30 <= ended.status <= 39


@pytest.mark.requirement("ANA-02")
def test_the_first_mirror_that_can_be_read_is_taken(platform: Platform) -> None:
    with FakeRegistry() as other:
        names = [f"{other.host}/team/{name}:1" for name in ("gone", "gone-too", "third", "fourth")]
        for name in ("third", "fourth"):
            push_run_image(other, f"team/{name}:1")
        write_toml(platform.lifecycle.root / "run.toml", {"images": [{"image": names[0], "mirrors": names[1:]}]})
        flags = ("-run", str(platform.lifecycle.root / "run.toml"))
        assert platform.lifecycle.start("analyzer", *flags, platform.app).status == 0
        assert f"{other.host}/team/third@sha256:" in (platform.lifecycle.layers / "analyzed.toml").read_text()


@pytest.mark.requirement("ANA-03")
def test_image_and_tags_are_on_one_registry(platform: Platform) -> None:
    push_run_image(platform.registry)
    with FakeRegistry() as other:
        for flags in (("-tag", f"{other.host}/team/app:2"), ("-tag", platform.app, "-tag", f"{other.host}/x:2")):
            ended = platform.analyze(*flags)
            assert ended.status != 0
            assert ended.stderr.startswith("error: ")
        assert other.requests == [], "nobody needs to be asked to know it"
    assert not (platform.lifecycle.layers / "analyzed.toml").exists()
    assert platform.analyze("-tag", f"{platform.registry.host}/team/app:2").status == 0


@pytest.mark.requirement("ANA-04", "DIF-06")
@pytest.mark.parametrize("api", ["0.12", "0.15"])
def test_the_run_image_is_described(platform: Platform, api: str) -> None:
    reference = push_run_image(platform.registry, variant="v9")
    assert platform.analyze(api=api).status == 0
    run_image = analyzed(platform)["run-image"]
    assert isinstance(run_image, dict)
    assert (run_image["reference"], run_image["image"]) == (reference, platform.run)
    assert not run_image.get("extend")
    target = run_image["target"]
    assert (target["os"], target["arch"], target["variant"]) == ("linux", ARCHITECTURE, "v9")
    # The reference lifecycle has another name for it.
    assert target["arch-variant"] == "v9"
    distro = target["distro"]
    assert (distro["name"], distro["version"]) == ("debian", "12")


@pytest.mark.requirement("ANA-04")
def test_a_run_image_without_an_operating_system_is_refused(platform: Platform) -> None:
    push_run_image(platform.registry, os="")
    assert 30 <= platform.analyze().status <= 39


@pytest.mark.requirement("ANA-05")
def test_the_sboms_of_the_previous_image_are_restored_unless_layers_are_skipped(platform: Platform) -> None:
    push_run_image(platform.registry)
    sbom = 'echo \'{"bomFormat": "CycloneDX"}\' > "$1/x.sbom.cdx.json"'
    keys = 'sbom-formats = ["application/vnd.cyclonedx+json"]'
    platform.lifecycle.world.add("example/a", keys=keys, build=f"{layer('x', 'launch')}\n{sbom}")
    platform.build("example/a")
    restored = platform.lifecycle.layers / "sbom/launch/example_a/x/sbom.cdx.json"
    platform.lifecycle.forget()
    assert platform.analyze("-skip-layers").status == 0
    assert not restored.exists()
    assert not has_no_previous(platform)
    assert platform.analyze(env={"CNB_SKIP_LAYERS": "true"}).status == 0
    assert not restored.exists()
    assert platform.analyze().status == 0
    assert json.loads(restored.read_text()) == {"bomFormat": "CycloneDX"}


@pytest.mark.requirement("ANA-01", "ANA-04")
def test_what_the_previous_image_says_is_in_analyzed_toml(platform: Platform) -> None:
    push_run_image(platform.registry)
    store = "printf '[metadata]\\ncount = 3\\n' > \"$1/store.toml\""
    script = f"{layer('x', 'launch', metadata='number = 1')}\n{store}\n{launch_toml('')}"
    platform.lifecycle.world.add("example/a", build=script)
    image = platform.build("example/a")
    platform.lifecycle.forget()
    assert platform.analyze().status == 0
    found = analyzed(platform)
    assert found["image"] == {"reference": f"{platform.registry.host}/team/app@{image.digest}"}
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    (record,) = metadata["buildpacks"]
    assert (record["key"], record["version"], record["store"]["metadata"]) == ("example/a", "1.0.0", {"count": 3})
    of_layer = record["layers"]["x"]
    assert of_layer["sha"] == image.label("lifecycle")["buildpacks"][0]["layers"]["x"]["sha"]
    assert (of_layer["launch"], of_layer["metadata"]) == (True, {"number": 1})
    assert metadata["run-image"]["image"] == platform.run
    # Another name for the next image.
    other = f"{platform.registry.host}/team/other:1"
    flags = ("-run-image", platform.run, "-previous-image", platform.app)
    platform.lifecycle.forget()
    assert platform.lifecycle.start("analyzer", *flags, other).status == 0
    assert not has_no_previous(platform)
    platform.lifecycle.forget()
    assert platform.lifecycle.start("analyzer", "-run-image", platform.run, other).status == 0
    assert has_no_previous(platform)


@pytest.mark.requirement("GEN-04")
@pytest.mark.parametrize("names", [(), ("r.test/a", "r.test/b")])
def test_the_analyzer_takes_one_image(platform: Platform, names: tuple[str, ...]) -> None:
    push_run_image(platform.registry)
    assert platform.lifecycle.start("analyzer", "-run-image", platform.run, *names).status == 3


@pytest.mark.requirement("DIF-11")
@pytest.mark.parametrize(
    ("mode", "works", "warns"),
    [
        (None, False, False),
        ("error", False, False),
        ("warn", True, True),
        ("silent", True, False),
        ("quiet", True, False),
    ],
)
def test_experiments_are_for_platforms_that_want_them(
    platform: Platform, mode: str | None, works: bool, warns: bool
) -> None:
    env = {} if mode is None else {"CNB_EXPERIMENTAL_MODE": mode}
    layouts = str(platform.lifecycle.root / "layouts")
    ended = platform.analyze("-layout", "-layout-dir", layouts, env=env)
    # There is no run image in the layouts, which is found out after that.
    assert (30 <= ended.status <= 39 and "run" in ended.stderr) is works
    assert works or "experimental" in ended.stderr
    assert ("is experimental" in ended.stderr.splitlines()[0]) is (warns or not works)
