from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.target import host_architecture
from lifecycle.exporters import parse_output
from lifecycle.exporters.layout import LayoutOutput
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.descriptor import INDEX_TYPE
from lifecycle.oci.errors import ImageNotFound
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.layout_writer import open_layout
from pybuild.errors import ImageMoved, SettingsError, UsageError
from pybuild.image_store import ImageStore
from pybuild.in_place import find_place
from tests.lifecycle.daemon.fake_engine import FakeEngine, Loaded
from tests.lifecycle.oci.images import file_layer
from tests.lifecycle.registry.fake_registry import FakeRegistry, client_for
from tests.pybuild.recording_log import RecordingLog


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store", client_for(), RecordingLog())


def image_with(directory: Path, content: str) -> Image:
    config = ImageConfig(architecture=host_architecture(), os="linux")
    return make_image(config, [file_layer(directory / "made", {"content": content})])


def add(layout: Path, image: Image, *tags: str) -> Image:
    with open_layout(layout) as writer:
        writer.add(image)
        writer.tag(image, tags)
    return image


def index_of(image: Image) -> bytes:
    entry = {**image.descriptor.render(), "platform": {"os": "linux", "architecture": host_architecture()}}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}).encode()


def test_an_image_of_a_layout_has_the_names_that_lead_to_it(tmp_path: Path, images: ImageStore) -> None:
    layout = tmp_path / "layout"
    image = add(layout, image_with(tmp_path, "1"), "v1", "latest")
    place = find_place(f"oci:{layout}", images, {})
    assert (place.output, place.digest) == (LayoutOutput(directory=layout, tags=("latest", "v1")), image.digest)
    add(layout, image_with(tmp_path, "2"), "v2")
    place = find_place(f"oci:{layout}:v1", images, {})
    assert (place.output, place.digest) == (LayoutOutput(directory=layout, tags=("v1",)), image.digest)
    with pytest.raises(ImageNotFound, match="several images"):
        find_place(f"oci:{layout}", images, {})
    with pytest.raises(UsageError, match="has a digest"):
        find_place(f"oci:{layout}:v1@{image.digest}", images, {})


def test_an_image_of_a_layout_that_was_replaced_is_noticed(tmp_path: Path, images: ImageStore) -> None:
    layout = tmp_path / "layout"
    before = add(layout, image_with(tmp_path, "1"), "v1", "v2")
    place = find_place(f"oci:{layout}:v1", images, {})
    now, replacement = add(layout, image_with(tmp_path, "2"), "v2"), image_with(tmp_path, "3")
    place.check(replacement, images, {})
    add(layout, now, "v1")
    with pytest.raises(ImageMoved) as caught:
        place.check(replacement, images, {})
    assert caught.value.exit_code == 72
    assert caught.value.facts == (("before", str(before.digest)), ("now", str(now.digest)))
    # Somebody who did the same has done no harm.
    add(layout, replacement, "v1")
    place.check(replacement, images, {})


def test_an_image_of_a_registry_is_known_without_its_layers(
    tmp_path: Path, images: ImageStore, registry: FakeRegistry
) -> None:
    image = image_with(tmp_path, "1")
    name = registry.add(image, "team/app:1")
    place = find_place(f"docker://{name}", images, {})
    assert place.digest == image.digest
    assert not [path for path in registry.paths() if path.endswith(str(image.layers[0].descriptor.digest))]
    registry.add(image_with(tmp_path, "2"), "team/app:1")
    with pytest.raises(ImageMoved):
        place.check(image_with(tmp_path, "3"), images, {})


def test_an_image_of_a_docker_engine_is_known_by_its_id(tmp_path: Path, images: ImageStore) -> None:
    replacement = image_with(tmp_path, "3")
    before, now = (f"sha256:{digit * 64}" for digit in "ab")
    with FakeEngine() as engine:
        engine.images[before] = Loaded([], ["docker.io/team/app:1"])
        place = find_place("docker-daemon:team/app:1", images, engine.env)
        assert (place.output, str(place.digest)) == (parse_output("docker-daemon:team/app:1"), before)
        place.check(replacement, images, engine.env)
        engine.images[before].names.clear()
        engine.images[now] = Loaded([], ["docker.io/team/app:1"])
        with pytest.raises(ImageMoved):
            place.check(replacement, images, engine.env)
        with pytest.raises(ImageNotFound, match="has no such image"):
            find_place(f"docker-daemon:{'a' * 12}", images, engine.env)


def test_one_image_does_not_take_the_place_of_several(
    tmp_path: Path, images: ImageStore, registry: FakeRegistry
) -> None:
    image = image_with(tmp_path, "1")
    registry.add(image, "team/app:amd64")
    name = registry.add_manifest(index_of(image), "team/app:1", media_type=INDEX_TYPE)
    with pytest.raises(SettingsError, match="several platforms"):
        find_place(f"docker://{name}", images, {})
    layout = tmp_path / "layout"
    add(layout, image, "v1")
    index = json.loads((layout / "index.json").read_text())
    entry = index["manifests"][0]
    other = {**entry, "digest": f"sha256:{'0' * 64}", "platform": {"os": "linux", "architecture": "riscv64"}}
    entry["platform"] = {"os": "linux", "architecture": host_architecture()}
    (layout / "index.json").write_text(json.dumps({**index, "manifests": [entry, other]}))
    with pytest.raises(SettingsError, match="several platforms"):
        find_place(f"oci:{layout}:v1", images, {})


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("docker-archive:image.tar", "is an archive"),
        ("oci-archive:image.tar", "is an archive"),
        ("oci:{unnamed}", "has no name there"),
        ("docker://127.0.0.1:1/app@sha256:" + "0" * 64, "names one image for ever"),
    ],
)
def test_an_image_that_cannot_be_replaced_where_it_is_needs_an_output(
    tmp_path: Path, images: ImageStore, location: str, message: str
) -> None:
    add(tmp_path / "unnamed", image_with(tmp_path, "1"))
    with pytest.raises(UsageError, match=message):
        find_place(location.format(unnamed=tmp_path / "unnamed"), images, {})
