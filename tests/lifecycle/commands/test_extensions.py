"""Image extensions in the programs around the extender: what the restorer looks up and keeps, what the exporter makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.exporters import Connections, parse_output, write_outputs
from lifecycle.extended_run_image import write_extended
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import Location, Transport
from tests.lifecycle.commands.platform import Platform
from tests.lifecycle.oci.images import file_layer
from tests.lifecycle.registry.fake_registry import client_for

BASE = "ARG base_image\nFROM ${base_image}\n"


@pytest.fixture
def extended(platform: Platform) -> Platform:
    """A platform with the extension `e`, whose `bin/generate` copies what `generate` writes."""
    root = platform.world.root
    directory = platform.world.extensions / "e" / "1.0.0"
    (directory / "generate").mkdir(parents=True)
    (directory / "extension.toml").write_text('api = "0.12"\n[extension]\nid = "e"\nversion = "1.0.0"\n')
    order = (platform.layers / "order.toml").read_text()
    (platform.layers / "order.toml").write_text(
        f'{order}\n[[order-extensions]]\n[[order-extensions.group]]\nid = "e"\nversion = "1.0.0"\n'
    )
    platform.env |= {
        "CNB_EXTENSIONS_DIR": str(platform.world.extensions),
        "CNB_RUN_IMAGE": platform.add_run_image(),
        "PYBUILD_KANIKO_DIR": str(root / "kaniko"),
    }
    return platform


def generate(platform: Platform, **files: str) -> None:
    for kind, text in files.items():
        (platform.world.extensions / "e/1.0.0/generate" / f"{kind}.Dockerfile").write_text(text)


def until_restorer(platform: Platform, *arguments: str) -> None:
    platform.must("analyzer", f"{platform.host}/team/app:1")
    platform.must("detector")
    platform.must("restorer", *arguments)


def bases(platform: Platform) -> dict[str, Image]:
    directories = (platform.world.root / "kaniko").glob("base/*")
    return {path.name: read_image(Location(transport=Transport.OCI, path=path)) for path in directories}


@pytest.mark.requirement("EXT-03")
def test_a_run_image_that_an_extension_has_chosen_is_looked_up(extended: Platform) -> None:
    platform = extended
    labels = {"io.buildpacks.base.distro.name": "other", "io.buildpacks.base.distro.version": "9"}
    name = platform.registry.add(platform.run_image("other", labels), "team/other:1")
    generate(platform, run=f"FROM {name}\n")
    until_restorer(platform)
    assert platform.toml("analyzed.toml")["run-image"] == {
        "reference": f"{platform.host}/team/other@{platform.run_image('other', labels).digest}",
        "image": name,
        "target": {"os": "linux", "arch": "amd64", "distro": {"name": "other", "version": "9"}},
    }
    # Nothing is extended, so nothing need be there, and the platform need not have a place for it.
    assert not (platform.world.root / "kaniko").exists()
    platform.must("builder")
    platform.must("exporter", f"{platform.host}/team/app:1")
    record = platform.label()["runImage"]
    assert record["image"] == name
    assert record["topLayer"] == str(platform.run_image("other", labels).layers[-1].diff_id)


def test_images_in_layouts_are_looked_up_and_kept_as_well(extended: Platform, tmp_path: Path) -> None:
    platform = extended
    images = platform.world.root / "images"
    for name in ("run", "chosen", "build"):
        output = parse_output(f"oci:{images}/example.org/team/{name}/1", tags=["1"])
        write_outputs(platform.run_image(name), [output], Connections(client=client_for(), env={}))
    platform.env |= {"CNB_USE_LAYOUT": "true", "CNB_LAYOUT_DIR": str(images), "CNB_EXPERIMENTAL_MODE": "silent"}
    generate(platform, run="FROM example.org/team/chosen:1\nRUN true\n", build=f"{BASE}RUN true\n")
    platform.must("analyzer", "-run-image", "example.org/team/run:1", "example.org/team/app:1")
    platform.must("detector")
    platform.must("restorer", "-build-image", "example.org/team/build:1")
    chosen, build = platform.run_image("chosen"), platform.run_image("build")
    assert bases(platform).keys() == {str(chosen.digest), str(build.digest)}
    analyzed = platform.toml("analyzed.toml")
    assert analyzed["run-image"]["reference"] == f"{images}/example.org/team/chosen/1@{chosen.digest}"
    image = extend_run_image(platform, tmp_path / "new", rebasable="true", base=chosen)
    platform.must("builder")
    platform.must("exporter", "example.org/team/app:1")
    made = read_image(Location(transport=Transport.OCI, path=images / "example.org/team/app/1"))
    assert [layer.diff_id for layer in made.layers[:2]] == [layer.diff_id for layer in image.layers]


def test_a_run_image_that_is_not_there_ends_the_restorer(extended: Platform) -> None:
    generate(extended, run=f"FROM {extended.host}/team/none:1\n")
    extended.must("analyzer", f"{extended.host}/team/app:1")
    extended.must("detector")
    assert extended.start("restorer") == 42
    assert "team/none:1" in extended.stderr


def test_images_that_will_be_extended_are_kept_whole(extended: Platform) -> None:
    platform = extended
    build_image = platform.registry.add(platform.run_image("build"), "team/build:1")
    generate(platform, run=f"{BASE}RUN true\n", build=f"{BASE}RUN true\n")
    until_restorer(platform, "-build-image", build_image)
    kept = bases(platform)
    run, build = platform.run_image(), platform.run_image("build")
    assert kept.keys() == {str(run.digest), str(build.digest)}
    assert [layer.diff_id for layer in kept[str(run.digest)].layers] == [layer.diff_id for layer in run.layers]
    assert platform.toml("analyzed.toml")["build-image"]["reference"] == f"{platform.host}/team/build@{build.digest}"


def test_a_build_image_that_nothing_extends_is_not_fetched(extended: Platform) -> None:
    build_image = extended.registry.add(extended.run_image("build"), "team/build:1")
    generate(extended, run=f"{BASE}RUN true\n")
    until_restorer(extended, "-build-image", build_image)
    assert bases(extended).keys() == {str(extended.run_image().digest)}


def extend_run_image(platform: Platform, directory: Path, *, rebasable: str, base: Image | None = None) -> Image:
    """What the extender would leave."""
    base = base or platform.run_image()
    layer = file_layer(directory, {"/usr/new": "by the extension"})
    config = replace(base.config, user="7:8", labels={**base.config.labels, "io.buildpacks.rebasable": rebasable})
    image = make_image(config, (*base.layers, layer))
    write_extended(platform.layers / "extended", image, base)
    return image


@pytest.mark.parametrize("rebasable", ["true", "false"])
@pytest.mark.requirement("EXT-05", "EXP-12")
def test_the_image_is_on_the_extended_run_image_and_says_what_is_below(
    extended: Platform, tmp_path: Path, rebasable: str
) -> None:
    platform = extended
    generate(platform, run=f"{BASE}RUN true\n")
    until_restorer(platform)
    image = extend_run_image(platform, tmp_path / "new", rebasable=rebasable)
    platform.must("builder")
    platform.must("exporter", f"{platform.host}/team/app:1")
    manifest, config = platform.pushed()
    assert config["rootfs"]["diff_ids"][:2] == [str(layer.diff_id) for layer in image.layers]
    assert manifest["layers"][1]["digest"] != manifest["layers"][0]["digest"]
    assert config["config"]["User"] == "7:8"
    assert config["config"]["Labels"]["io.buildpacks.rebasable"] == rebasable
    record = platform.label()["runImage"]
    assert record["topLayer"] == str(platform.run_image().layers[-1].diff_id)
    assert record["reference"] == f"{platform.host}/team/run@{platform.run_image().digest}"
    assert (
        '"extensions":[{"api":"0.12","id":"e","version":"1.0.0"}]'
        in (config["config"]["Labels"]["io.buildpacks.build.metadata"])
    )


def test_an_exporter_without_the_extender_before_it_says_so(extended: Platform) -> None:
    generate(extended, run=f"{BASE}RUN true\n")
    until_restorer(extended)
    extended.must("builder")
    assert extended.start("exporter", f"{extended.host}/team/app:1") == 62
    assert "start `extender` with `-kind run`" in extended.stderr
