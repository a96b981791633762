"""Images on their way to a registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.oci.errors import BlobMismatch
from lifecycle.oci.image import Image
from lifecycle.registry.push import Amount, Uploaded, put_image, upload_blobs
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import FakeRegistry, Waits, client_for


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def image(tmp_path: Path) -> Image:
    layers = [file_layer(tmp_path / "blobs", {f"{number}": os.urandom(100_000).hex()}) for number in range(3)]
    # The same content twice is one blob.
    return image_of(*layers, layers[0])


def size_of(image: Image) -> int:
    return len(image.config_bytes) + sum({layer.path: layer.descriptor.size for layer in image.layers}.values())


def push(
    registry: FakeRegistry,
    image: Image,
    *names: str,
    waits: Waits | None = None,
    mount_from: tuple[str, ...] = (),
) -> Uploaded:
    references = [Reference.parse(f"{registry.host}/{name}") for name in names or ("team/app:1",)]
    client = client_for(waits=waits)
    try:
        done = upload_blobs(
            client,
            references[0],
            image,
            mount_from=[Reference.parse(name) for name in mount_from],
        )
        return done + put_image(client, references, image)
    finally:
        client.close()


def assert_is_there(registry: FakeRegistry, image: Image, name: str = "team/app:1") -> None:
    assert registry.manifests[name] == (image.manifest_bytes, image.descriptor.media_type)
    for layer in image.layers:
        assert registry.blobs[str(layer.descriptor.digest)] == layer.path.read_bytes()
    assert registry.blobs[str(image.id)] == image.config_bytes


def test_an_image_is_there_after_its_blobs(registry: FakeRegistry, image: Image) -> None:
    assert push(registry, image, "team/app:1", "team/app:2") == Uploaded(uploaded=Amount(blobs=4, size=size_of(image)))
    assert_is_there(registry, image)
    assert_is_there(registry, image, "team/app:2")
    # Nothing names blobs that are on their way.
    assert registry.requests[-2:] == ["PUT /v2/team/app/manifests/1", "PUT /v2/team/app/manifests/2"]


def test_what_is_there_is_not_sent(registry: FakeRegistry, image: Image) -> None:
    push(registry, image)
    registry.requests.clear()
    assert push(registry, image) == Uploaded(present=Amount(blobs=4, size=size_of(image)))
    assert {request.partition(" ")[0] for request in registry.requests} == {"HEAD", "PUT"}
    assert registry.paths("PUT") == ["/v2/team/app/manifests/1"]


def test_blobs_of_another_repository_are_mounted(registry: FakeRegistry, image: Image) -> None:
    base = image.layers[0]
    digest = str(base.descriptor.digest)
    registry.blobs[digest] = base.path.read_bytes()
    registry.elsewhere = {"team/base": {digest}}
    done = push(registry, image, mount_from=(f"{registry.host}/team/base:1", "127.0.0.1:1/not/asked"))
    assert done.mounted == Amount(blobs=1, size=base.descriptor.size)
    assert done.uploaded == Amount(blobs=3, size=size_of(image) - base.descriptor.size)
    assert_is_there(registry, image)


def test_a_damaged_layer_never_arrives_whole(registry: FakeRegistry, image: Image) -> None:
    path = image.layers[1].path
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(BlobMismatch):
        push(registry, image)
    assert str(image.layers[1].descriptor.digest) not in registry.blobs
    assert not registry.manifests


def test_a_digest_of_another_image_is_no_name(registry: FakeRegistry, image: Image) -> None:
    with pytest.raises(InvalidValue):
        push(registry, image, f"team/app:1@sha256:{'0' * 64}")
