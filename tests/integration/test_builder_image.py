"""The image of the builder, read as pack and kpack read it: labels of the types that they decode, layers that the labels name, owners."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from lifecycle.cnb.toml import parse_toml
from tests.integration.command import Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.image_files import LayoutImage, read_layout

pytestmark = pytest.mark.integration

FILE_TIME = 315532801
BUILD_USER = (1000, 1000)
# pack refuses a lifecycle without these.
PROGRAMS = ("analyzer", "builder", "creator", "detector", "exporter", "launcher", "restorer")


@pytest.fixture(scope="module")
def exported(machine_store: Path, tmp_path_factory: pytest.TempPathFactory) -> LayoutImage:
    """The default builder and its run image, in two layouts."""
    directory = tmp_path_factory.mktemp("exported")
    pybuild = Pybuild(env=ordinary_environment(machine_store.parent))
    said = expect_success(
        pybuild(
            "builder",
            "create",
            "--output",
            f"oci:{directory / 'builder'}",
            "--run-output",
            f"oci:{directory / 'run'}",
        )
    )
    image = read_layout(directory / "builder")
    run = read_layout(directory / "run")
    assert said.stdout.splitlines() == [
        f"oci:{directory / 'builder'}:latest@{image.digest}",
        f"oci:{directory / 'run'}:latest@{run.digest}",
    ]
    return image


def own_layers(image: LayoutImage) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """What each layer above the build base was made by, and its entries by their absolute names."""
    history = [one for one in image.config["history"] if not one.get("empty_layer")]
    for path, origin in list(zip(image.layers, history, strict=True))[1:]:
        with gzip.open(path) as stream, tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
            yield origin["created_by"], {f"/{entry.name}".rstrip("/"): entry for entry in archive}


def content(image: LayoutImage, name: str) -> bytes:
    """The file of that absolute name in the last layer that has it."""
    for path in reversed(image.layers):
        with gzip.open(path) as stream, tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
            for entry in archive:
                if f"/{entry.name}" == name:
                    member = archive.extractfile(entry)
                    assert member is not None
                    return member.read()
    raise AssertionError(f"{name} is in no layer")


@pytest.mark.requirement("DST-01")
def test_the_labels_are_those_that_platforms_decode(exported: LayoutImage) -> None:
    metadata = exported.label("io.buildpacks.builder.metadata")
    assert metadata["createdBy"]["name"] == "pybuild"
    assert metadata["stack"]["runImage"] == {"image": "pybuild/run:bookworm", "mirrors": []}
    assert metadata["images"] == [{"image": "pybuild/run:bookworm", "mirrors": []}]
    apis = exported.label("io.buildpacks.lifecycle.apis")
    assert metadata["lifecycle"]["apis"] == apis
    assert apis["platform"] == {"supported": ["0.12", "0.13", "0.14", "0.15"], "deprecated": []}
    assert metadata["lifecycle"]["api"] == {"platform": "0.12", "buildpack": "0.10"}
    assert [one["id"] for one in metadata["buildpacks"]][:2] == ["pybuild/conda", "pybuild/python"]
    order = exported.label("io.buildpacks.buildpack.order")
    assert order[1] == {
        "group": [{"id": "pybuild/python", "version": "0.1.0"}, {"id": "pybuild/pip", "version": "0.1.0"}]
    }
    layers: dict[str, dict[str, dict[str, Any]]] = exported.label("io.buildpacks.buildpack.layers")
    assert {(one["id"], one["version"]) for one in metadata["buildpacks"]} == {
        (name, version) for name, versions in layers.items() for version in versions
    }
    for versions in layers.values():
        for facts in versions.values():
            assert facts["api"] in apis["buildpack"]["supported"]
            assert facts["layerDiffID"] in exported.config["rootfs"]["diff_ids"]


@pytest.mark.requirement("DST-01")
def test_the_layers_of_the_labels_hold_their_buildpack_alone(exported: LayoutImage) -> None:
    diff_ids = exported.config["rootfs"]["diff_ids"]
    for path, diff_id in zip(exported.layers, diff_ids, strict=True):
        with gzip.open(path) as stream:
            total = hashlib.sha256()
            while piece := stream.read(1 << 20):
                total.update(piece)
        assert f"sha256:{total.hexdigest()}" == diff_id
    entries = dict(zip(diff_ids[1:], (names for _, names in own_layers(exported)), strict=True))
    for name, versions in exported.label("io.buildpacks.buildpack.layers").items():
        for version, facts in versions.items():
            place = f"/cnb/buildpacks/{name.replace('/', '_')}/{version}"
            names = entries[facts["layerDiffID"]]
            above = {"/cnb", "/cnb/buildpacks", place.rpartition("/")[0], place}
            assert {f"{place}/buildpack.toml", f"{place}/bin/detect", f"{place}/bin/build"} <= set(names)
            assert all(one in above or one.startswith(f"{place}/") for one in names)


@pytest.mark.requirement("DST-01")
def test_owners_modes_and_times_are_those_of_a_builder(exported: LayoutImage) -> None:
    found: dict[str, tarfile.TarInfo] = {}
    for _, entries in own_layers(exported):
        assert {entry.mtime for entry in entries.values()} == {FILE_TIME}
        found |= entries
    for name in ("/workspace", "/layers"):
        assert (found[name].uid, found[name].gid) == BUILD_USER
    for name, entry in found.items():
        if name not in ("/workspace", "/layers"):
            assert (entry.uid, entry.gid) == (0, 0), name
        if not entry.issym():
            assert entry.mode == (0o755 if entry.isdir() or entry.mode & 0o100 else 0o644), name
    assert found["/lifecycle"].linkname == "/cnb/lifecycle"
    for name in ("/cnb/extensions", "/platform/env", "/cnb/build-config/env"):
        assert found[name].isdir()
    assert found["/cnb/lifecycle/lifecycle"].mode == 0o755
    for program in PROGRAMS:
        entry = found[f"/cnb/lifecycle/{program}"]
        assert "/" not in entry.linkname
        file = found[f"/cnb/lifecycle/{entry.linkname}"] if entry.issym() else entry
        assert (file.isfile(), file.mode) == (True, 0o755)


@pytest.mark.requirement("DST-01")
def test_the_config_says_who_builds_and_where(exported: LayoutImage) -> None:
    config = exported.config["config"]
    assert config["User"] == "1000:1000"
    assert config["WorkingDir"] == "/layers"
    assert (exported.env["CNB_USER_ID"], exported.env["CNB_GROUP_ID"]) == ("1000", "1000")
    assert exported.env["PATH"].startswith("/opt/pybuild/bin:")
    labels = config["Labels"]
    assert (labels["io.buildpacks.base.distro.name"], labels["io.buildpacks.stack.id"]) == (
        "debian",
        "pybuild.bookworm",
    )


@pytest.mark.requirement("DST-01")
def test_the_files_of_the_operator_are_there(exported: LayoutImage) -> None:
    lifecycle = parse_toml(content(exported, "/cnb/lifecycle/lifecycle.toml"), source="lifecycle.toml")
    assert lifecycle["apis"] == exported.label("io.buildpacks.lifecycle.apis")
    order = parse_toml(content(exported, "/cnb/order.toml"), source="order.toml")
    assert order["order"] == exported.label("io.buildpacks.buildpack.order")
    stack = parse_toml(content(exported, "/cnb/stack.toml"), source="stack.toml")
    assert stack == {"run-image": {"image": "pybuild/run:bookworm", "mirrors": []}}
    run = parse_toml(content(exported, "/cnb/run.toml"), source="run.toml")
    assert run == {"images": [{"image": "pybuild/run:bookworm", "mirrors": []}]}


def test_the_same_builder_is_the_same_image(exported: LayoutImage, pybuild: Pybuild, tmp_path: Path) -> None:
    expect_success(pybuild("builder", "create", "--output", f"oci:{tmp_path / 'again'}"))
    assert read_layout(tmp_path / "again").digest == exported.digest


def test_a_builder_image_for_another_machine_is_refused(pybuild: Pybuild, tmp_path: Path) -> None:
    said = pybuild("builder", "create", "--platform", "linux/arm64", "--output", f"oci:{tmp_path / 'image'}")
    expect_error(said, 2, "linux/arm64", "--platform")
