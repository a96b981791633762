"""Images that tiny buildpacks made get another run image; what comes out is compared with what a build on that run image gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle import __version__
from lifecycle.cnb.group import GroupElement
from lifecycle.cnb.labels import BUILD_LABEL, LIFECYCLE_LABEL, REBASABLE_LABEL
from lifecycle.errors import RebaseError, RebaseRefused
from lifecycle.launch_facts import LAUNCH_BASE_LABEL
from lifecycle.oci.config import History
from lifecycle.oci.image import Image, make_image
from lifecycle.rebase import RebasedImage, RebaseRequest, rebase
from tests.lifecycle.exporting import LAYER, Exporter, make_exporter
from tests.lifecycle.oci.images import content_of, file_layer, names_in, validate_image
from tests.lifecycle.world import World

PROCESSES = """
printf '[[processes]]\\ntype = "web"\\ncommand = ["tool", "x y"]\\nargs = ["a"]\\nworking-dir = "sub"\\n' > "$CNB_LAYERS_DIR/launch.toml"
printf '[[processes]]\\ntype = "t"\\ncommand = ["tool"]\\nexec-env = ["test"]\\n' >> "$CNB_LAYERS_DIR/launch.toml"
"""
PATCHED = ("PATH=/usr/bin:/bin", "LANG=C.UTF-8")


@dataclass(frozen=True)
class Built:
    """An application that was built, and by what; nothing changes it, so it is for all tests."""

    exporter: Exporter
    buildpacks: tuple[GroupElement, ...]
    image: Image


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    world = World.begin(tmp_path_factory.mktemp("world"))
    exporter = make_exporter(world)
    second = LAYER.replace("venv", "more").replace("FLAG", "OTHER.append")
    buildpacks = (world.add("x/a", build=LAYER + PROCESSES), world.add("other/b", build=second))
    return Built(replace(exporter), buildpacks, exporter.export(*buildpacks).image)


@pytest.fixture
def exporter(built: Built) -> Exporter:
    """For builds on other run images, and with other settings."""
    return replace(built.exporter)


@pytest.fixture
def buildpacks(built: Built) -> tuple[GroupElement, ...]:
    return built.buildpacks


@pytest.fixture
def image(built: Built) -> Image:
    return built.image


def patched(exporter: Exporter, env: tuple[str, ...] = PATCHED, **changes: Any) -> Image:
    """The run image with a new layer on top, and other `changes` to its config."""
    base = exporter.run_image
    layer = file_layer(exporter.world.root / "base", {"etc/patched": "yes\n"})
    return make_image(replace(base.config, env=env, **changes), [*base.layers, layer])


def rebased(exporter: Exporter, image: Image, run_image: Image, **options: Any) -> RebasedImage:
    request = RebaseRequest(
        **{
            "image": image,
            "run_image": run_image,
            "run_image_name": "run:1",
            "run_image_reference": "run@digest",
            "blobs_dir": exporter.world.root / "rebased",
            **options,
        }
    )
    result = rebase(request)
    validate_image(result.image)
    return result


def with_labels(image: Image, labels: Mapping[str, str | None]) -> Image:
    merged = {**image.config.labels, **labels}
    kept = {name: text for name, text in merged.items() if text is not None}
    return make_image(replace(image.config, labels=kept), image.layers)


def record(image: Image) -> Any:
    return json.loads(image.config.labels[LIFECYCLE_LABEL])["runImage"]


@pytest.mark.parametrize(
    "env",
    [
        PATCHED,
        ("PATH=/opt/bin:/usr/bin", "LANG=C", "FLAG=base", "OTHER=base", "NEW=x y'z"),
        ("LANG=C.UTF-8",),
    ],
)
def test_the_image_is_the_one_that_a_build_on_the_new_run_image_gives(
    exporter: Exporter, buildpacks: tuple[GroupElement, ...], env: tuple[str, ...]
) -> None:
    image = exporter.export(*buildpacks).image
    labels = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.homepage": "https://example.org"}
    run_image = patched(exporter, env, labels=labels)
    exporter.run_image, exporter.previous = run_image, None
    built = exporter.export(*buildpacks).image
    assert rebased(exporter, image, run_image).image.manifest_bytes == built.manifest_bytes


def test_only_the_layers_of_the_run_image_are_others(exporter: Exporter, image: Image, tmp_path: Path) -> None:
    run_image = patched(exporter)
    result = rebased(exporter, image, run_image, blobs_dir=tmp_path / "blobs")
    assert result.image.layers == (*run_image.layers, *image.layers[1:])
    assert not (tmp_path / "blobs").exists(), "nothing was archived"
    assert result.image.config.env == image.config.env
    assert result.overridden == ()


def test_an_image_on_that_run_image_stays_as_it_is(exporter: Exporter, image: Image) -> None:
    # As another program may have written the same.
    spaced = replace(image, config_bytes=json.dumps(json.loads(image.config_bytes)).encode())
    assert rebased(exporter, image, exporter.run_image).image is image
    request = RebaseRequest(
        image=spaced,
        run_image=exporter.run_image,
        run_image_name="docker.io/library/run:1",
        run_image_reference="run@digest",
        blobs_dir=exporter.world.root,
    )
    assert rebase(request).image is spaced


def test_there_and_back_is_the_same_image(exporter: Exporter, image: Image) -> None:
    there = rebased(exporter, image, patched(exporter, ("PATH=/elsewhere",))).image
    assert there.config.env != image.config.env
    assert rebased(exporter, there, exporter.run_image).image.digest == image.digest


def test_the_launcher_knows_the_new_environment(exporter: Exporter, image: Image) -> None:
    result = rebased(exporter, image, patched(exporter, ("PATH=/new",)))
    assert result.image.config.environment()["PATH"] == (
        "/cnb/process:/cnb/lifecycle:/layers/other_b/more/bin:/layers/x_a/venv/bin:/new"
    )
    changed = [layer for layer in result.image.layers if layer.diff_id not in {one.diff_id for one in image.layers}]
    assert [names_in(layer)[-1] for layer in changed] == ["etc/patched", "cnb/lifecycle/launcher"]
    assert b"/layers/x_a/venv/bin:/new" in content_of(changed[1], "cnb/lifecycle/launcher")
    assert result.metadata.launcher == str(changed[1].diff_id)


def test_the_label_says_which_launcher_the_image_has(exporter: Exporter, image: Image) -> None:
    document = json.loads(image.config.labels[BUILD_LABEL])
    image = with_labels(image, {BUILD_LABEL: json.dumps({**document, "launcher": {"version": "0.0.1"}})})
    for env, version in ((PATCHED, "0.0.1"), (("PATH=/new",), __version__)):
        found = json.loads(rebased(exporter, image, patched(exporter, env)).image.config.labels[BUILD_LABEL])
        assert found == {**document, "launcher": {"version": version}}


def test_what_a_user_changed_in_the_environment_stays(exporter: Exporter, image: Image) -> None:
    env = (*(entry for entry in image.config.env if not entry.startswith("LANG=")), "LANG=de_DE.UTF-8", "MINE=1")
    derived = make_image(replace(image.config, env=env), image.layers)
    found = rebased(exporter, derived, patched(exporter, ("PATH=/new", "LANG=C"))).image.config.environment()
    assert (found["LANG"], found["MINE"]) == ("de_DE.UTF-8", "1")
    assert found["PATH"].endswith(":/new")


def test_layers_that_were_put_on_top_of_the_image_stay(exporter: Exporter, image: Image) -> None:
    top = file_layer(exporter.world.root / "top", {"etc/mine": "x"})
    derived = make_image(image.config, [*image.layers, top])
    assert rebased(exporter, derived, patched(exporter)).image.layers[-1] == top


def test_the_labels_of_the_run_image_are_the_new_one_s(
    exporter: Exporter, buildpacks: tuple[GroupElement, ...]
) -> None:
    old = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.stack.id": "old", "io.buildpacks.base.id": "x"}
    exporter.run_image = make_image(replace(exporter.run_image.config, labels=old), exporter.run_image.layers)
    image = exporter.export(*buildpacks, labels={"org.example": "kept"}).image
    new = {"io.buildpacks.base.distro.name": "debian", "io.buildpacks.base.released": "today", "org.base": "not taken"}
    labels = rebased(exporter, image, patched(exporter, labels=new)).image.config.labels
    assert {name: text for name, text in labels.items() if ".base." in name or ".stack." in name} == {
        "io.buildpacks.base.distro.name": "debian",
        "io.buildpacks.base.released": "today",
    }
    assert labels["org.example"] == "kept"
    assert "org.base" not in labels


def test_the_record_of_the_run_image_is_renewed(exporter: Exporter, buildpacks: tuple[GroupElement, ...]) -> None:
    image = exporter.export(*buildpacks, run_image_mirrors=("mirror.example/run:1",)).image
    run_image = patched(exporter)
    top = str(run_image.layers[-1].diff_id)
    known = {"image": "docker.io/library/run:1", "mirrors": ["mirror.example/run:1"]}
    for name in ("run:1", "index.docker.io/library/run:1@sha256:" + "0" * 64, "mirror.example/run:1"):
        result = rebased(exporter, image, run_image, run_image_name=name, run_image_reference="new")
        assert record(result.image) == {"topLayer": top, "reference": "new", **known}
    forced = rebased(exporter, image, run_image, run_image_name="run:2", force=True)
    assert record(forced.image) == {"topLayer": top, "reference": "run@digest", "image": "run:2"}
    assert json.loads(forced.image.config.labels[LIFECYCLE_LABEL])["stack"] == {"runImage": {"image": "run:2"}}


@pytest.mark.parametrize(
    ("changes", "options", "label", "text"),
    [
        ({"architecture": "arm64"}, {}, "target", "the run image for linux/arm64 (debian)"),
        ({"os": "windows"}, {}, "target", "the run image for windows/amd64 (debian)"),
        ({"labels": {"io.buildpacks.base.distro.name": "ubuntu"}}, {}, "target", "linux/amd64 (ubuntu)"),
        ({}, {"run_image_name": "run:2"}, "run image", "built on `docker.io/library/run:1`, not on `run:2`"),
        ({}, {"run_image_name": None}, "run image", "not on one without a name"),
    ],
)
def test_a_run_image_that_may_not_fit_is_refused_unless_it_is_forced(
    exporter: Exporter,
    image: Image,
    changes: Mapping[str, Any],
    options: Mapping[str, Any],
    label: str,
    text: str,
) -> None:
    run_image = patched(exporter, **changes)
    with pytest.raises(RebaseRefused) as caught:
        rebased(exporter, image, run_image, **options)
    assert caught.value.exit_code == 72
    assert [found for found, _ in caught.value.facts] == [label]
    assert text in caught.value.facts[0][1]
    result = rebased(exporter, image, run_image, **options, force=True)
    assert result.overridden == caught.value.facts
    assert result.image.layers[:2] == run_image.layers
    assert (result.image.config.os, result.image.config.architecture) == (
        run_image.config.os,
        run_image.config.architecture,
    )


def test_everything_that_speaks_against_a_run_image_is_said_at_once(
    exporter: Exporter, buildpacks: tuple[GroupElement, ...]
) -> None:
    image = exporter.export(*buildpacks, labels={REBASABLE_LABEL: "false"}).image
    with pytest.raises(RebaseRefused) as caught:
        rebased(exporter, image, patched(exporter, architecture="arm64"), run_image_name="other")
    assert [label for label, _ in caught.value.facts] == ["rebasable", "target", "run image"]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"io.buildpacks.stack.id": "a", "io.buildpacks.stack.mixins": '["x", "run:y"]'}, []),
        ({"io.buildpacks.stack.id": "a", "io.buildpacks.stack.mixins": '["x"]'}, ["mixins"]),
        ({"io.buildpacks.stack.id": "b"}, ["stack", "mixins"]),
        ({}, ["stack", "mixins"]),
    ],
)
def test_an_image_from_before_targets_needs_its_stack(
    exporter: Exporter, image: Image, labels: Mapping[str, str], found: list[str]
) -> None:
    env = (*(entry for entry in image.config.env if "PLATFORM_API" not in entry), "CNB_PLATFORM_API=0.11")
    image = make_image(replace(image.config, env=env), image.layers)
    image = with_labels(image, {"io.buildpacks.stack.id": "a", "io.buildpacks.stack.mixins": '["run:y"]'})
    result = rebased(exporter, image, patched(exporter, labels=labels), force=True)
    assert [label for label, _ in result.overridden] == found


def test_an_image_of_another_lifecycle_keeps_its_environment(exporter: Exporter, image: Image) -> None:
    image = with_labels(image, {LAUNCH_BASE_LABEL: None})
    result = rebased(exporter, image, patched(exporter, ("PATH=/new",)))
    assert result.image.config.env == image.config.env
    assert result.image.layers[2:] == image.layers[1:]


def test_the_last_of_several_equal_layers_is_where_the_run_image_ends(
    exporter: Exporter, buildpacks: tuple[GroupElement, ...]
) -> None:
    once = exporter.run_image
    exporter.run_image = make_image(once.config, [*once.layers, *patched(exporter).layers[1:], *once.layers])
    image = exporter.export(*buildpacks).image
    assert rebased(exporter, image, once).image.layers == (*once.layers, *image.layers[3:])


def test_history_that_made_no_layer_comes_from_the_new_run_image(exporter: Exporter, image: Image) -> None:
    history = (
        History(created_by="first"),
        History(created_by="ENV", empty_layer=True),
        History(created_by="second"),
    )
    run_image = patched(exporter)
    named = [replace(layer, history=None) for layer in run_image.layers]
    run_image = make_image(replace(run_image.config, history=history), named)
    found = [entry.created_by for entry in rebased(exporter, image, run_image).image.config.history]
    assert found[:3] == ["first", "ENV", "second"]
    assert found[3:] == [entry.created_by for entry in image.config.history[1:]]


def test_where_an_image_runs_is_what_its_new_run_image_says(exporter: Exporter, image: Image) -> None:
    image = make_image(replace(image.config, other={"os.version": "1", "os.features": ["old"], "x": 1}), image.layers)
    result = rebased(exporter, image, patched(exporter, variant="v2", other={"os.version": "2", "y": 1}))
    assert result.image.config.variant == "v2"
    assert result.image.config.other == {"os.version": "2", "x": 1}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({LIFECYCLE_LABEL: None}, "has no label `io.buildpacks.lifecycle.metadata`"),
        ({LIFECYCLE_LABEL: "[]"}, "must be a JSON object"),
        ({LIFECYCLE_LABEL: "{}"}, "does not say where its run image ends"),
        ({LIFECYCLE_LABEL: '{"runImage": {"topLayer": "sha256:0"}}'}, "names a layer that it does not have: sha256:0"),
        ({LAUNCH_BASE_LABEL: "{"}, "invalid JSON"),
        ({BUILD_LABEL: '{"processes": 1}'}, "`processes` must be an array"),
    ],
)
def test_an_image_that_does_not_say_what_it_is_made_of_cannot_be_rebased(
    exporter: Exporter, image: Image, labels: Mapping[str, str | None], message: str
) -> None:
    image = with_labels(image, labels)
    with pytest.raises(RebaseError, match=message) as caught:
        rebased(exporter, image, patched(exporter, ("PATH=/new",)), force=True)
    assert caught.value.exit_code == 72


def test_an_image_without_its_launcher_is_not_given_one(exporter: Exporter, image: Image, tmp_path: Path) -> None:
    launcher = json.loads(image.config.labels[LIFECYCLE_LABEL])["launcher"]["sha"]
    image = make_image(image.config, [layer for layer in image.layers if str(layer.diff_id) != launcher])
    with pytest.raises(RebaseError, match="names a launcher that the image does not have"):
        rebased(exporter, image, patched(exporter, ("PATH=/new",)))


def with_layer(image: Image, name: str, parts: list[str]) -> Image:
    """The image with a launch layer of `x/a` more in its label, and these parts of the layer `venv`."""
    document = json.loads(image.config.labels[LIFECYCLE_LABEL])
    layers = document["buildpacks"][0]["layers"]
    layers[name] = {**layers["venv"], "sha": f"sha256:{'0' * 64}"}
    layers["venv"]["data"] = {"pybuild-parts": parts}
    return with_labels(image, {LIFECYCLE_LABEL: json.dumps(document)})


def test_what_is_known_of_a_layer_holds_for_its_parts(exporter: Exporter, image: Image) -> None:
    run_image = patched(exporter, ("PATH=/new",))
    whole = rebased(exporter, image, run_image).image
    divided = rebased(exporter, with_layer(image, "venv.package-x", ["venv.package-x"]), run_image).image
    assert divided.config.env == whole.config.env
    assert divided.layers == whole.layers
    with pytest.raises(RebaseError, match=r"says nothing of the layer `x/a:venv\.package-x`"):
        rebased(exporter, with_layer(image, "venv.package-x", []), run_image)


def test_an_image_of_more_layers_than_engines_take_is_not_made(exporter: Exporter, image: Image) -> None:
    base = exporter.run_image
    large = make_image(base.config, base.layers * 122)
    assert len(rebased(exporter, image, make_image(base.config, base.layers * 121)).image.layers) == 127
    with pytest.raises(RebaseError, match="it would have 128 layers"):
        rebased(exporter, image, large)
