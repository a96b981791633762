from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from lifecycle.cnb.errors import InvalidValue
from lifecycle.exporters import parse_output
from lifecycle.exporters.archive import ArchiveOutput
from lifecycle.oci.blob import compress_layer_blob
from lifecycle.oci.compression import Compression
from lifecycle.oci.errors import OciError, UnsupportedImage
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from tests.lifecycle.exporters.writing import check, write_to
from tests.lifecycle.oci.images import content_of_blob, file_layer, image_of, layer_of


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_of(file_layer(tmp_path / "made", {"workspace/a": "1"}), file_layer(tmp_path / "made", {"b": "2"}))


def scratch(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_an_image_goes_to_several_places_and_is_the_same_in_each(tmp_path: Path, image: Image) -> None:
    texts = [f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/oci.tar", f"docker-archive:{tmp_path}/docker.tar"]
    assert write_to(image, *texts, tags=["name:v2"]) == tuple(f"{text}@{image.digest}" for text in texts)
    locations = [
        f"oci:{tmp_path}/layout:v1",
        f"oci:{tmp_path}/layout:name:v2",
        f"oci-archive:{tmp_path}/oci.tar:name:v2",
        f"oci-archive:{tmp_path}/docker.tar",
        f"docker-archive:{tmp_path}/docker.tar:name:v2",
    ]
    for number, location in enumerate(locations):
        found = read_image(location, scratch=scratch(tmp_path, f"scratch{number}"))
        assert (found.manifest_bytes, found.config_bytes) == (image.manifest_bytes, image.config_bytes)
    assert (tmp_path / "oci.tar").stat().st_mode & 0o777 == 0o644


def test_a_docker_archive_has_what_old_engines_read(tmp_path: Path, image: Image) -> None:
    write_to(image, f"docker-archive:{tmp_path}/x.tar:name", tags=["ghcr.io/a/b:c"])
    with tarfile.open(tmp_path / "x.tar") as archive:
        names = archive.getnames()
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        manifest = json.load(stream)
    assert manifest[0]["RepoTags"] == ["docker.io/library/name:latest", "ghcr.io/a/b:c"]
    assert {manifest[0]["Config"], *manifest[0]["Layers"], "oci-layout", "index.json"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_layers_compressed_with_zstd_go_where_they_are_read(tmp_path: Path, image: Image, kind: str) -> None:
    compressed = zstd_image(tmp_path, image)
    write_to(compressed, f"{kind}:{tmp_path}/out")
    found = read_image(f"{kind}:{tmp_path}/out", scratch=scratch(tmp_path, "scratch"))
    assert found.manifest_bytes == compressed.manifest_bytes


def test_a_docker_archive_has_no_layers_compressed_with_zstd(tmp_path: Path, image: Image) -> None:
    with pytest.raises(UnsupportedImage, match="Docker reads it from version 23"):
        write_to(zstd_image(tmp_path, image), f"docker-archive:{tmp_path}/x.tar")
    assert not list(tmp_path.glob("*x.tar*"))


def zstd_image(tmp_path: Path, image: Image) -> Image:
    layers = []
    for layer in image.layers:
        with io.BytesIO(content_of_blob(layer)) as stream:
            layers.append(layer_of(compress_layer_blob(tmp_path / "made", stream, compression=Compression.ZSTD)))
    return image_of(*layers)


def test_a_layer_that_occurs_twice_is_stored_once(tmp_path: Path) -> None:
    layer = file_layer(tmp_path / "made", {"a": "1"})
    image = image_of(layer, layer)
    write_to(image, f"docker-archive:{tmp_path}/x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert archive.getnames().count(f"blobs/sha256/{layer.descriptor.digest.hex}") == 1


def test_two_archives_of_one_image_are_equal(tmp_path: Path, image: Image) -> None:
    for name in ("1", "2"):
        write_to(image, f"oci-archive:{tmp_path}/{name}")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_when_one_output_fails_none_is_touched(tmp_path: Path, image: Image) -> None:
    write_to(image, f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/x.tar")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = image_of(file_layer(tmp_path / "made2", {"c": "3"}))
    broken = image_of(*other.layers, file_layer(tmp_path / "made2", {"d": "4"}))
    broken.layers[1].path.write_bytes(b"damaged")
    texts = [f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/x.tar", f"docker-archive:{tmp_path}/new/y.tar"]
    with pytest.raises(OciError, match="does not match its descriptor"):
        write_to(broken, *texts)
    for path in (tmp_path / "made2").iterdir():
        path.unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_one_layout_under_two_names_is_written_once(tmp_path: Path, image: Image) -> None:
    write_to(image, f"oci:{tmp_path}/layout:a", f"oci:{tmp_path}/./layout:b")
    for tag in ("a", "b"):
        assert read_image(f"oci:{tmp_path}/layout:{tag}").digest == image.digest


def test_an_output_without_a_name_is_called_latest_in_a_layout(tmp_path: Path, image: Image) -> None:
    write_to(image, f"oci:{tmp_path}/layout")
    assert read_image(f"oci:{tmp_path}/layout:latest").digest == image.digest


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("image.tar", ()),
        ("docker://Not A Name", ()),
        ("docker://name@sha256:" + "a" * 64, ()),
        ("docker://", ()),
        ("oci:", ()),
        ("docker-archive:x.tar", ("Not A Name",)),
        ("docker-archive:x.tar:", ()),
        ("docker-archive:x.tar", ("name@sha256:" + "a" * 64,)),
    ],
)
def test_an_output_that_makes_no_sense_is_refused(text: str, tags: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue):
        parse_output(text, tags=tags)


def test_two_outputs_cannot_be_one_file(tmp_path: Path, image: Image) -> None:
    with pytest.raises(InvalidValue, match="named by two outputs"):
        write_to(image, f"oci-archive:{tmp_path}/x.tar", f"docker-archive:{tmp_path}/x.tar")
    assert not (tmp_path / "x.tar").exists()


def test_a_device_or_a_pipe_is_not_replaced_by_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidValue, match="would take its place"):
        check(f"oci-archive:{tmp_path}/pipe")


def test_a_directory_is_no_archive(tmp_path: Path, image: Image) -> None:
    with pytest.raises(InvalidValue, match="is a directory"):
        write_to(image, f"oci-archive:{tmp_path}")


def test_what_a_killed_writer_of_an_archive_has_left_is_written_over(tmp_path: Path, image: Image) -> None:
    output = parse_output(f"oci-archive:{tmp_path / 'out' / 'image.tar'}")
    assert isinstance(output, ArchiveOutput)
    with output.prepare(image, None):
        (left,) = (tmp_path / "out").iterdir()
    assert not left.exists()
    left.write_bytes(b"x" * 1_000_000)
    write_to(image, str(output.location))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image.tar"]
    assert read_image(f"oci-archive:{tmp_path / 'out' / 'image.tar'}", scratch=scratch(tmp_path, "read")).id == image.id
