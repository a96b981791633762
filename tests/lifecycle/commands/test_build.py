"""The five phases as programs, one after the other, on a registry."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lifecycle.cnb.order import write_order
from lifecycle.exporters import Connections, parse_output, write_outputs
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import Location, Transport
from tests.lifecycle.commands.platform import Platform
from tests.lifecycle.registry.fake_registry import FakeRegistry, client_for
from tests.lifecycle.world import order

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture
def on_run_image(platform: Platform) -> Platform:
    platform.env["CNB_RUN_IMAGE"] = platform.add_run_image()
    return platform


def test_the_image_is_on_its_run_image_and_says_so(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    manifest, config = platform.pushed()
    run_image = platform.run_image()
    assert manifest["layers"][0]["digest"] == str(run_image.layers[0].descriptor.digest)
    assert config["config"]["Entrypoint"] == ["/cnb/process/web"]
    assert config["config"]["WorkingDir"] == str(platform.world.app)
    assert platform.label()["runImage"] == {
        "topLayer": str(run_image.layers[0].diff_id),
        "reference": f"{platform.host}/team/run@{run_image.digest}",
        "image": f"{platform.host}/team/run:1",
    }
    report = platform.toml("report.toml")["image"]
    assert report["tags"] == [f"{platform.host}/team/app:1"]
    assert f"team/app@{report['digest']}" in platform.registry.manifests
    assert report["manifest-size"] == len(platform.registry.manifests["team/app:1"][0])


def test_the_label_names_the_run_image_as_its_operator_does_whichever_mirror_it_came_from(platform: Platform) -> None:
    mirror = platform.add_run_image("mirrors/run:1")
    (platform.world.root / "run.toml").write_text(f'[[images]]\nimage = "example.org/run:1"\nmirrors = ["{mirror}"]\n')
    platform.build()
    record = platform.label()["runImage"]
    assert record["image"] == "example.org/run:1"
    assert record["mirrors"] == [mirror]
    assert record["reference"] == f"example.org/run@{platform.run_image().digest}"


def test_two_builds_of_the_same_are_one_image_and_send_nothing_twice(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    first = platform.registry.manifests["team/app:1"]
    platform.empty_layers()
    platform.registry.requests.clear()
    platform.build()
    assert platform.registry.manifests["team/app:1"] == first
    assert platform.registry.paths("PATCH") == []
    # Nothing of the images came here either, but their documents.
    assert [path for path in platform.registry.paths() if "/blobs/" in path and "config" not in path] == [
        path for path in platform.registry.paths() if path.endswith(tuple(_configs(platform)))
    ]


def _configs(platform: Platform) -> list[str]:

    return [json.loads(content)["config"]["digest"] for content, _ in platform.registry.manifests.values()]


def test_a_run_image_in_another_registry_is_brought_along(platform: Platform) -> None:

    with FakeRegistry() as other:
        run_image = other.add(platform.run_image(), "team/run:1")
        platform.build(CNB_RUN_IMAGE=run_image)
    manifest, _ = platform.pushed()
    assert set(platform.registry.blobs) >= {layer["digest"] for layer in manifest["layers"]}


@pytest.mark.parametrize("with_image", [False, True])
def test_what_a_buildpack_caches_comes_back_from_a_directory_or_an_image(
    on_run_image: Platform, *, with_image: bool
) -> None:
    platform = on_run_image
    cache = f"-cache-image={platform.host}/team/cache:1" if with_image else f"-cache-dir={platform.world.root}/cache"
    kept = platform.layers / "a" / "kept" / "first"
    platform.build("team/app:1", cache)
    content = kept.read_text()
    for _ in range(2):
        platform.empty_layers()
        platform.build("team/app:1", cache)
        assert kept.read_text() == content
    platform.empty_layers()
    platform.build("team/app:1", cache, CNB_SKIP_LAYERS="true")
    assert kept.read_text() != content


def test_a_build_that_fails_leaves_the_cache_as_it_was(on_run_image: Platform) -> None:
    platform = on_run_image
    cache = f"-cache-dir={platform.world.root}/cache"
    platform.build("team/app:1", cache)
    content = (platform.layers / "a" / "kept" / "first").read_text()
    platform.empty_layers()
    platform.must("analyzer", f"{platform.host}/team/app:1")
    platform.must("detector")
    platform.must("restorer", cache)
    (platform.layers / "a" / "kept" / "first").write_text("changed by a build that did not end")
    platform.empty_layers()
    platform.build("team/app:1", cache)
    assert (platform.layers / "a" / "kept" / "first").read_text() == content


def test_the_store_comes_back_although_layers_do_not(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    platform.empty_layers()
    platform.must("analyzer", "-skip-layers", f"{platform.host}/team/app:1")
    platform.must("detector")
    platform.must("restorer", "-skip-layers")
    assert platform.toml("a/store.toml") == {"metadata": {"builds": 1}}
    assert not (platform.layers / "a" / "made.toml").exists()


def test_a_layer_of_the_previous_image_is_reused_without_its_blob(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    first = platform.registry.manifests["team/app:1"]
    sha = platform.label()["buildpacks"][0]["layers"]["made"]["sha"]
    program = platform.world.buildpacks / "a" / "1.0.0" / "bin" / "build"
    program.write_text(program.read_text() + 'rm -r "$CNB_LAYERS_DIR/made"\n')
    platform.empty_layers()
    platform.build("team/app:2", CNB_PREVIOUS_IMAGE=f"{platform.host}/team/app:1")
    assert platform.label("team/app:2")["buildpacks"][0]["layers"]["made"]["sha"] == sha
    assert platform.registry.manifests["team/app:2"] == first


def test_bills_of_materials_of_the_previous_image_are_restored(on_run_image: Platform) -> None:
    platform = on_run_image
    directory = platform.world.buildpacks / "a" / "1.0.0"
    descriptor = directory / "buildpack.toml"
    descriptor.write_text(
        descriptor.read_text().replace("[buildpack]\n", '[buildpack]\nsbom-formats = ["application/spdx+json"]\n')
    )
    program = directory / "bin" / "build"
    program.write_text(program.read_text() + 'echo "{}" > "$CNB_LAYERS_DIR/made.sbom.spdx.json"\n')
    platform.build()
    platform.empty_layers()
    platform.must("analyzer", f"{platform.host}/team/app:1")
    platform.must("detector")
    platform.must("restorer")
    assert (platform.layers / "a" / "made.sbom.spdx.json").read_text() == "{}\n"
    assert (platform.layers / "a" / "made.toml").exists()


def test_an_image_has_all_its_tags_and_the_process_type_that_was_asked_for(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    image, tags = f"{platform.host}/team/app:3", [f"{platform.host}/team/app:4", f"{platform.host}/other/app:1"]
    platform.must("exporter", "-process-type", "web", image, *tags)
    assert platform.toml("report.toml")["image"]["tags"] == [image, *tags]
    found = {platform.registry.manifests[name][0] for name in ("team/app:3", "team/app:4", "other/app:1")}
    assert len(found) == 1
    assert platform.start("exporter", "-process-type", "absent", image) == 62
    assert "`absent`" in platform.stderr


def test_the_image_says_when_it_was_made_if_somebody_says_it(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build(SOURCE_DATE_EPOCH="1700000000")
    assert platform.pushed()[1]["created"] == "2023-11-14T22:13:20Z"
    platform.must("exporter", f"{platform.host}/team/app:1", SOURCE_DATE_EPOCH="yesterday")
    assert "yesterday" in platform.stderr
    assert platform.pushed()[1]["created"] == "1980-01-01T00:00:01Z"


def test_the_project_is_what_the_platform_says_it_is(on_run_image: Platform) -> None:
    platform = on_run_image
    (platform.layers / "project-metadata.toml").write_text('[source]\ntype = "git"\n[source.version]\ncommit = "1"\n')
    platform.build()
    labels = platform.pushed()[1]["config"]["Labels"]
    assert labels["io.buildpacks.project.metadata"] == '{"source":{"type":"git","version":{"commit":"1"}}}'


def test_what_goes_wrong_with_images_has_the_code_of_its_phase(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    image = f"{platform.host}/team/app:1"
    platform.registry.login = ("user", "password")
    assert platform.start("analyzer", image) == 32
    assert platform.start("restorer") == 42
    assert platform.start("exporter", image) == 62
    assert platform.start("rebaser", image) == 72
    assert platform.stdout == ""
    assert "error: " in platform.stderr


def test_credentials_are_those_of_the_platform(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.registry.login = ("user", "password")
    auth = f'{{"{platform.host}": "Basic dXNlcjpwYXNzd29yZA=="}}'
    platform.build(CNB_REGISTRY_AUTH=auth)
    assert "team/app:1" in platform.registry.manifests


def test_rebasing_swaps_the_run_image_and_nothing_else(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    before, _ = platform.pushed()
    new = platform.run_image("new")
    platform.registry.add(new, "team/run:1")
    report = platform.world.root / "report.toml"
    platform.must("rebaser", "-report", str(report), f"{platform.host}/team/app:1", f"{platform.host}/team/app:2")
    manifest, _ = platform.pushed("team/app:2")
    assert manifest["layers"] == [new.manifest.layers[0].render(), *before["layers"][1:]]
    record = platform.label()["runImage"]
    assert record["topLayer"] == str(new.layers[0].diff_id)
    assert record["reference"] == f"{platform.host}/team/run@{new.digest}"
    assert f"{platform.host}/team/app:2" in report.read_text()


def test_rebasing_onto_what_was_not_known_must_be_forced_and_leaves_the_previous_image(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    before = platform.registry.manifests["team/app:1"]
    other = platform.registry.add(platform.run_image("other"), "team/other:1")
    report = f"-report={platform.world.root}/report.toml"
    arguments = (report, "-run-image", other, "-previous-image", f"{platform.host}/team/app:1")
    assert platform.start("rebaser", *arguments, f"{platform.host}/team/app:5") == 72
    assert "team/app:5" not in platform.registry.manifests
    platform.must("rebaser", "-force", *arguments, f"{platform.host}/team/app:5")
    assert platform.label("team/app:5")["runImage"]["image"] == other
    assert platform.registry.manifests["team/app:1"] == before


def test_everything_works_in_layouts_as_well(platform: Platform) -> None:

    images = platform.world.root / "images"
    output = parse_output(f"oci:{images}/index.docker.io/library/run/1", tags=["1"])
    write_outputs(platform.run_image(), [output], Connections(client=client_for(), env={}))
    platform.env |= {"CNB_USE_LAYOUT": "true", "CNB_LAYOUT_DIR": str(images), "CNB_EXPERIMENTAL_MODE": "warn"}
    for _ in range(2):
        platform.must("analyzer", "-run-image", "run:1", "example.org/team/app:1")
        assert "experimental" in platform.stderr
        platform.must("detector")
        platform.must("restorer")
        platform.must("builder")
        platform.must("exporter", "example.org/team/app:1")
    place = images / "example.org" / "team" / "app" / "1"
    image = read_image(Location(transport=Transport.OCI, path=place, name="1"))
    assert platform.toml("analyzed.toml")["image"]["reference"] == f"{place}@{image.digest}"
    platform.must("rebaser", f"-report={place}.toml", "example.org/team/app:1")
    assert read_image(Location(transport=Transport.OCI, path=place)).digest == image.digest


def test_the_creator_does_all_of_it_and_detection_and_build_know_no_credentials(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.world.add(
        "b",
        detect="env > $CNB_PLATFORM_DIR-env; tr '\\0' '\\n' < /proc/$PPID/environ > $CNB_PLATFORM_DIR-parent || true",
    )

    write_order(platform.layers / "order.toml", order("b a"))
    platform.registry.login = ("user", "password")
    auth = f'{{"{platform.host}": "Basic dXNlcjpwYXNzd29yZA=="}}'
    done = _create(platform, "-tag", f"{platform.host}/team/app:2", f"{platform.host}/team/app:1", auth=auth)
    assert done.returncode == 0, done.stdout + done.stderr
    assert platform.registry.manifests["team/app:1"] == platform.registry.manifests["team/app:2"]
    assert "dXNlcjpw" not in (platform.world.root / "platform-env").read_text()
    assert [line for line in done.stdout.splitlines() if line.startswith("===>")] == [
        "===> ANALYZING",
        "===> DETECTING",
        "===> RESTORING",
        "===> BUILDING",
        "===> EXPORTING",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("script", "code"), [({"detect": "exit 100"}, 20), ({"detect": "exit 1"}, 21), ({"build": "exit 7"}, 51)]
)
def test_the_creator_ends_with_the_code_of_the_phase_that_failed(
    on_run_image: Platform, script: dict[str, str], code: int
) -> None:
    platform = on_run_image
    platform.world.add("b", **script)

    write_order(platform.layers / "order.toml", order("b"))
    done = _create(platform, f"{platform.host}/team/app:1")
    assert done.returncode == code
    assert done.stderr.count("error: ") == 1


def _create(platform: Platform, *arguments: str, auth: str = "") -> subprocess.CompletedProcess[str]:
    env = {**platform.env, "PYTHONPATH": str(ROOT), **({"CNB_REGISTRY_AUTH": auth} if auth else {})}
    return subprocess.run(
        [sys.executable, "-m", "lifecycle", "creator", *arguments], env=env, capture_output=True, text=True, check=False
    )


def test_a_launcher_starts_the_processes_of_what_was_built(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    process = platform.world.root / "web"
    process.symlink_to(platform.world.root / "launcher")
    (platform.world.root / "launcher").write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom lifecycle.__main__ import main\nmain()\n"
    )
    (platform.world.root / "launcher").chmod(0o755)
    made = platform.layers / "a" / "made" / "env"
    made.mkdir()
    (made / "FLAG").write_text("set")
    done = subprocess.run([process, "exit 3"], env=platform.env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    done = subprocess.run([process], env=platform.env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "sh set\n"), done.stderr


def test_the_launcher_in_the_image_is_the_one_of_its_processes(on_run_image: Platform) -> None:
    platform = on_run_image
    platform.build()
    manifest, config = platform.pushed()
    index = config["rootfs"]["diff_ids"].index(platform.label()["launcher"]["sha"])
    content = platform.registry.blobs[manifest["layers"][index]["digest"]]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        stream = archive.extractfile("cnb/lifecycle/launcher")
        assert stream is not None
        assert b"echo $0 $FLAG" in stream.read()
