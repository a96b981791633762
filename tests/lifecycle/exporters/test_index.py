"""Images for several platforms under one name."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import parse_output, refuse_index, write_outputs
from lifecycle.exporters.transfer import Transfer, size_of_blobs
from lifecycle.oci.descriptor import INDEX_TYPE, Platform
from lifecycle.oci.image import Image, make_image
from lifecycle.oci.image_index import ImageIndex, make_index
from lifecycle.oci.layout import read_content, read_image, referenced_digests
from lifecycle.oci.layout import read_index as read_entries
from lifecycle.oci.location import parse_location
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.errors import PlatformMissing
from lifecycle.registry.pull import pull, resolve
from tests.lifecycle.exporters.writing import connections
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import FakeRegistry, client_for

AMD64, ARM64 = (Platform(os="linux", architecture=name) for name in ("amd64", "arm64"))


@pytest.fixture
def images(tmp_path: Path) -> dict[Platform, Image]:
    """An image for each platform, with a layer that they have in common."""
    common, own, other = (file_layer(tmp_path / "made", {name: name}) for name in ("app", "amd64", "arm64"))
    for_arm64 = replace(image_of().config, architecture="arm64")
    return {AMD64: image_of(own, common), ARM64: make_image(for_arm64, [other, common])}


@pytest.fixture
def index(images: dict[Platform, Image]) -> ImageIndex:
    return make_index(list(images.values()))


def write_to(index: ImageIndex, *texts: str) -> list[tuple[str, Transfer]]:
    written = write_outputs(index, [parse_output(text) for text in texts], connections())
    return [(one.location, one.transfer) for one in written]


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_each_platform_finds_its_image(
    kind: str, index: ImageIndex, images: dict[Platform, Image], tmp_path: Path
) -> None:
    place = f"{kind}:{tmp_path}/place"
    tag = ":latest" if kind == "oci" else ""
    assert write_to(index, place) == [(f"{place}{tag}@{index.digest}", Transfer(sent=size_of_blobs(index)))]
    for number, (platform, image) in enumerate(images.items()):
        (tmp_path / str(number)).mkdir()
        found = read_image(place, scratch=tmp_path / str(number), platform=platform)
        assert (found.manifest_bytes, found.config_bytes) == (image.manifest_bytes, image.config_bytes)


def test_a_layout_keeps_one_entry_that_leads_to_all(
    index: ImageIndex, images: dict[Platform, Image], tmp_path: Path
) -> None:
    write_to(index, f"oci:{tmp_path}/layout:v1")
    (entry,) = read_entries(tmp_path / "layout")
    assert (entry.media_type, entry.digest) == (INDEX_TYPE, index.digest)
    layers = {layer.descriptor.digest for image in images.values() for layer in image.layers}
    assert layers <= referenced_digests(tmp_path / "layout", [entry])
    again = write_to(index, f"oci:{tmp_path}/layout:v2")
    assert again == [(f"oci:{tmp_path}/layout:v2@{index.digest}", Transfer(present=size_of_blobs(index)))]


def test_an_archive_has_each_blob_once(index: ImageIndex, tmp_path: Path) -> None:
    write_to(index, f"oci-archive:{tmp_path}/image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))


def test_the_index_is_named_when_all_images_are_in_the_registry(
    index: ImageIndex, images: dict[Platform, Image], tmp_path: Path
) -> None:
    with FakeRegistry() as registry:
        name = f"docker://{registry.host}/team/app:1"
        other = f"docker://{registry.host}/team/app:2"
        transfer = Transfer(sent=size_of_blobs(index))
        # A layer that two images have in common was there when the second wanted it.
        common = images[AMD64].layers[1].descriptor.size
        ((location, sent), _) = write_to(index, name, other)
        assert location == f"{name}@{index.digest}"
        assert sent == replace(transfer, present=common)
        manifests = [path.rpartition("/")[2] for path in registry.paths("PUT") if "/manifests/" in path]
        assert manifests == [*(str(image.digest) for image in images.values()), "1", "2"]
        document = json.loads(registry.manifests["team/app:1"][0])
        assert [entry["platform"]["architecture"] for entry in document["manifests"]] == ["amd64", "arm64"]
        client, blobs = client_for(), BlobStore(directory=tmp_path / "pulled")
        reference = Reference.parse(f"{registry.host}/team/app:1")
        for platform, image in images.items():
            resolved = resolve(client, reference, platform, blobs)
            assert (resolved.digest, resolved.is_of_index) == (index.digest, True)
            assert pull(client, resolved, blobs).manifest_bytes == image.manifest_bytes
        with pytest.raises(PlatformMissing):
            resolve(client, reference, Platform(os="linux", architecture="s390x"), blobs)


def test_what_is_read_from_a_layout_is_the_whole_index(
    index: ImageIndex, images: dict[Platform, Image], tmp_path: Path
) -> None:
    write_to(index, f"oci:{tmp_path}/layout:both")
    write_outputs(images[ARM64], [parse_output(f"oci:{tmp_path}/layout:one")], connections())
    found = read_content(parse_location(f"oci:{tmp_path}/layout:both"))
    assert isinstance(found, ImageIndex)
    assert (found.digest, [image.digest for image in found.images]) == (
        index.digest,
        [image.digest for image in images.values()],
    )
    assert read_content(parse_location(f"oci:{tmp_path}/layout:one")).digest == images[ARM64].digest


@pytest.mark.parametrize("text", ["docker-archive:image.tar", "docker-daemon:team/app"])
def test_docker_takes_one_image_at_a_time(text: str, index: ImageIndex) -> None:
    with pytest.raises(InvalidValue, match="has room for an image of one platform") as caught:
        refuse_index([parse_output("oci:layout"), parse_output(text)])
    assert "name one platform" in (caught.value.hint or "")
