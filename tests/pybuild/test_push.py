"""Images of a registry go to another repository of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pybuild
from lifecycle.cnb.target import host_architecture
from lifecycle.exporters.transfer import Transfer, size_of_blobs
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.image_index import make_index
from lifecycle.oci.layout_writer import open_layout
from tests.lifecycle.oci.images import file_layer
from tests.lifecycle.registry.fake_registry import FakeRegistry


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def image(tmp_path: Path) -> Image:
    layers = [file_layer(tmp_path / "made", {name: name}) for name in "ab"]
    return make_image(ImageConfig(architecture=host_architecture(), os="linux"), layers)


def push(registry: FakeRegistry, tmp_path: Path, *names: str) -> pybuild.PushReport:
    location = f"docker://{registry.host}/team/app:1"
    request = pybuild.PushRequest(location=location, names=[f"{registry.host}/{name}" for name in names])
    return pybuild.push_image(request, store=tmp_path / "store")


def layers_that_came(registry: FakeRegistry, image: Image) -> set[str]:
    """Digests of the layers that were fetched."""
    digests = {str(layer.descriptor.digest) for layer in image.layers}
    return {path.rpartition("/")[2] for path in registry.paths()} & digests


def test_nothing_of_an_image_comes_here_that_the_registry_can_copy(
    registry: FakeRegistry, image: Image, tmp_path: Path
) -> None:
    registry.add(image, "team/app:1")
    registry.elsewhere = {"team/app": set(registry.blobs)}
    report = push(registry, tmp_path, "copy/app:1", "copy/app:2")
    assert {one.transfer for one in report.written} == {Transfer(mounted=size_of_blobs(image))}
    assert registry.manifests["copy/app:2"][0] == image.manifest_bytes
    assert not layers_that_came(registry, image)
    assert report.to_json()["image"] == {
        "digest": str(image.digest),
        "id": str(image.id),
        "outputs": [f"docker://{registry.host}/copy/app:{tag}@{image.digest}" for tag in (1, 2)],
    }


def test_what_the_registry_does_not_copy_goes_through_this_machine(
    registry: FakeRegistry, image: Image, tmp_path: Path
) -> None:
    registry.add(image, "team/app:1")
    registry.before("/blobs/", *[lambda exchange: exchange.answer(404)] * 3, method="HEAD")
    report = push(registry, tmp_path, "copy/app:1")
    assert layers_that_came(registry, image) == {str(layer.descriptor.digest) for layer in image.layers}
    assert registry.manifests["copy/app:1"][0] == image.manifest_bytes
    assert report.image.digest == image.digest


def test_images_for_several_platforms_go_all_from_a_layout(
    registry: FakeRegistry, image: Image, tmp_path: Path
) -> None:
    other = make_image(ImageConfig(architecture="s390x", os="linux"), image.layers)
    index = make_index([image, other])
    with open_layout(tmp_path / "layout") as layout:
        layout.add(index)
        layout.tag(index, ["both"])
    request = pybuild.PushRequest(location=f"oci:{tmp_path}/layout:both", names=[f"{registry.host}/team/app:1"])
    report = pybuild.push_image(request, store=tmp_path / "store")
    assert registry.manifests["team/app:1"][0] == index.content
    put = [path.rpartition("/")[2] for path in registry.paths("PUT") if "/manifests/" in path]
    assert put == [str(image.digest), str(other.digest), "1"]
    assert report.to_json()["image"] == {
        "digest": str(index.digest),
        "id": None,
        "outputs": [f"docker://{registry.host}/team/app:1@{index.digest}"],
    }


def test_a_push_that_is_cancelled_puts_no_name(registry: FakeRegistry, image: Image, tmp_path: Path) -> None:
    registry.add(image, "team/app:1")
    cancellation = pybuild.Cancellation()
    cancellation.cancel()
    request = pybuild.PushRequest(
        location=f"docker://{registry.host}/team/app:1", names=[f"{registry.host}/copy/app:1"]
    )
    with pytest.raises(pybuild.Cancelled):
        pybuild.push_image(request, cancellation=cancellation, store=tmp_path / "store")
    assert "copy/app:1" not in registry.manifests


def test_a_name_that_is_none_is_said_before_anything_is_looked_at(tmp_path: Path) -> None:
    request = pybuild.PushRequest(location="oci:nowhere", names=["Team/App"])
    with pytest.raises(pybuild.InputError, match="Team/App"):
        pybuild.push_image(request, store=tmp_path / "store")


def test_an_image_that_is_not_there_is_said_to_who_asked_for_it(registry: FakeRegistry, tmp_path: Path) -> None:
    request = pybuild.PushRequest(location=f"oci:{tmp_path / 'nowhere'}", names=[f"{registry.host}/team/app:1"])
    with pytest.raises(pybuild.InputError) as caught:
        pybuild.push_image(request, store=tmp_path / "store")
    assert caught.value.code == "image-not-found"
