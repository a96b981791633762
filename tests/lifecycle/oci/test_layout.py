from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import shutil
import tarfile
import time
from dataclasses import replace
from multiprocessing.synchronize import Event as EventOfProcesses
from pathlib import Path

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError, InvalidValue
from lifecycle.oci.descriptor import INDEX_TYPE, MANIFEST_TYPE
from lifecycle.oci.errors import BlobMismatch, BrokenImage, ImageNotFound, UnsupportedImage
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image, read_index
from lifecycle.oci.layout_writer import open_layout
from tests.lifecycle.oci.images import content_of, file_layer, image_of, validate_image


def write(directory: Path, image: Image, *tags: str) -> Path:
    with open_layout(directory) as layout:
        layout.add(image)
        layout.tag(image, tags)
    return directory


@pytest.fixture
def image(tmp_path: Path) -> Image:
    made = image_of(file_layer(tmp_path / "made", {"a": "1"}), file_layer(tmp_path / "made", {"b": "2"}))
    validate_image(made)
    return made


@pytest.fixture
def layout(tmp_path: Path, image: Image) -> Path:
    return write(tmp_path / "layout", image, "v1")


def same(first: Image, second: Image) -> bool:
    return (first.manifest_bytes, first.config_bytes) == (second.manifest_bytes, second.config_bytes)


def blob(layout: Path, digest: Digest) -> Path:
    return layout / "blobs" / digest.algorithm / digest.hex


def test_what_was_written_is_read(layout: Path, image: Image) -> None:
    for location in (f"oci:{layout}", f"oci:{layout}:v1"):
        found = read_image(location)
        assert same(found, image)
        assert content_of(found.layers[1], "b") == b"2"
        validate_image(found)


def test_tags_are_added_and_moved(layout: Path, image: Image, tmp_path: Path) -> None:
    other = image_of(file_layer(tmp_path / "made", {"c": "3"}))
    write(layout, other, "v2", "v3")
    write(layout, image, "v3")
    assert same(read_image(f"oci:{layout}:v1"), image)
    assert same(read_image(f"oci:{layout}:v2"), other)
    assert same(read_image(f"oci:{layout}:v3"), image)
    # As commands print where an image is
    assert same(read_image(f"oci:{layout}:v2@{other.digest}"), other)
    with pytest.raises(ImageNotFound, match="no image of that name"):
        read_image(f"oci:{layout}:v1@{other.digest}")
    with pytest.raises(ImageNotFound, match="several images: `v1`, `v2`, `v3`"):
        read_image(f"oci:{layout}")
    with pytest.raises(ImageNotFound, match="there are: `v1`, `v2`, `v3`"):
        read_image(f"oci:{layout}:v4")


def test_unreferenced_blobs_are_removed_on_request(layout: Path, tmp_path: Path) -> None:
    other = image_of(file_layer(tmp_path / "made", {"c": "3"}))
    with open_layout(layout) as writer:
        writer.add(other)
        writer.tag(other, ["v1"])
        assert writer.remove_unreferenced() > 0
    names = {path.name for path in (layout / "blobs/sha256").iterdir()}
    assert names == {other.digest.hex, other.id.hex, other.layers[0].descriptor.digest.hex}


def test_what_killed_writers_have_left_is_removed(layout: Path, image: Image, tmp_path: Path) -> None:
    for directory in (layout, tmp_path / "new"):
        (directory / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        for name in ("blobs/sha256/.partial-abc", ".oci-layout.abc", ".index.json.abc"):
            (directory / name).write_text("half of it")
        write(directory, image, "v1")
        assert not list(directory.rglob(".*"))
        assert same(read_image(f"oci:{directory}:v1"), image)


def _add_and_stop(directory: Path, image: Image) -> None:
    with open_layout(directory) as writer:
        writer.add(image)
        raise KeyboardInterrupt


def test_what_was_not_tagged_leaves_nothing(tmp_path: Path, layout: Path, image: Image) -> None:
    other = image_of(file_layer(tmp_path / "made", {"c": "3"}))
    before = sorted(path for path in layout.rglob("*"))
    for directory in (layout, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            _add_and_stop(directory, other)
    assert sorted(path for path in layout.rglob("*")) == before
    assert not (tmp_path / "new").exists()
    assert same(read_image(f"oci:{layout}:v1"), image)


def test_a_directory_with_other_things_is_not_touched(tmp_path: Path, image: Image) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").touch()
    with pytest.raises(InvalidValue, match="neither empty nor an OCI image layout"):
        write(tmp_path / "home", image)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]


def test_foreign_entries_of_the_index_stay(layout: Path, image: Image) -> None:
    index = json.loads((layout / "index.json").read_text())
    foreign = {**index["manifests"][0], "annotations": {"com.example": "x"}, "artifactType": "application/x"}
    index["manifests"].append(foreign)
    (layout / "index.json").write_text(json.dumps(index))
    write(layout, image, "v2")
    assert foreign in json.loads((layout / "index.json").read_text())["manifests"]


def _write_many(directory: Path, image: Image, name: str) -> None:
    for number in range(5):
        write(directory, image, f"{name}-{number}")


def test_writers_wait_for_each_other(tmp_path: Path, image: Image) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(tmp_path / "shared", image, f"p{n}")) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_index(tmp_path / "shared")) == 20


def _open_and_stop(directory: Path, second: multiprocessing.process.BaseProcess, begin: EventOfProcesses) -> None:
    with open_layout(directory):
        begin.set()
        while f":{directory.stat().st_ino} " not in Path("/proc/locks").read_text().partition("-> ")[2]:
            assert second.is_alive()
            time.sleep(0.01)
        raise KeyboardInterrupt


def _write_when_told(directory: Path, image: Image, begin: EventOfProcesses) -> None:
    begin.wait()
    write(directory, image, "second")


def test_who_waits_for_a_layout_that_is_given_up_makes_one(tmp_path: Path, image: Image) -> None:
    context = multiprocessing.get_context("fork")
    begin = context.Event()
    # Begun first: it would inherit the lock.
    second = context.Process(target=_write_when_told, args=(tmp_path / "shared", image, begin))
    second.start()
    with pytest.raises(KeyboardInterrupt):
        _open_and_stop(tmp_path / "shared", second, begin)
    second.join()
    assert same(read_image(f"oci:{tmp_path / 'shared'}:second"), image)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "link", "fifo", "remove"])
def test_a_damaged_blob_is_found_while_reading(
    layout: Path, image: Image, part: str, damage: str, tmp_path: Path
) -> None:
    digests = {"manifest": image.digest, "config": image.id, "layer": image.layers[0].descriptor.digest}
    path = blob(layout, digests[part])
    content = path.read_bytes()
    path.unlink()
    if damage == "link":
        (tmp_path / "target").write_bytes(content)
        path.symlink_to(tmp_path / "target")
    elif damage == "fifo":
        os.mkfifo(path)
    elif damage != "remove":
        path.write_bytes({"flip": b"X" + content[1:], "truncate": content[:-1], "append": content + b"x"}[damage])
    expected = BlobMismatch if damage in ("flip", "truncate", "append") else (BrokenImage, ImageNotFound)
    with pytest.raises(expected):
        read_image(f"oci:{layout}")


def test_a_mismatch_tells_both_sides(layout: Path, image: Image) -> None:
    path = blob(layout, image.layers[0].descriptor.digest)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BlobMismatch) as caught:
        read_image(f"oci:{layout}")
    facts = dict(caught.value.facts)
    assert facts["size"] == f"expected {path.stat().st_size - 1} bytes, read {path.stat().st_size} bytes"
    assert str(image.layers[0].descriptor.digest) in facts["digest"]


@pytest.mark.parametrize(
    "digest", ["sha256:../../../etc/passwd", "../:abc", "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha256:abc"]
)
def test_a_hostile_digest_is_no_path(layout: Path, digest: str) -> None:
    index = {"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST_TYPE, "digest": digest, "size": 1}]}
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidValue, match="is not a digest"):
        read_image(f"oci:{layout}")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 10_000, '{"manifests": 1}', '{"manifests": [1]}', '{"manifests": [{}]}']
)
def test_a_malformed_index_is_an_error(layout: Path, text: str) -> None:
    (layout / "index.json").write_text(text)
    with pytest.raises(CnbError):
        read_image(f"oci:{layout}")


def add_document(layout: Path, content: bytes, media_type: str) -> dict[str, object]:
    digest = Digest.of(content)
    blob(layout, digest).write_bytes(content)
    return {"mediaType": media_type, "digest": str(digest), "size": len(content)}


def test_of_several_platforms_this_machine_s_is_taken(layout: Path, image: Image) -> None:
    entry = image.descriptor.render()
    other = add_document(layout, b'{"schemaVersion":2}', MANIFEST_TYPE)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    manifests = [
        {**other, "platform": {"os": "linux", "architecture": "s390x"}},
        {**entry, "platform": {"os": "linux", "architecture": machine}},
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    nested = add_document(layout, index, INDEX_TYPE)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [nested]}))
    assert same(read_image(f"oci:{layout}"), image)


def test_a_document_that_is_manifest_and_index_is_refused(layout: Path, image: Image) -> None:
    # CVE-2021-41190
    both = json.dumps({**json.loads(image.manifest_bytes), "manifests": []}).encode()
    entry = add_document(layout, both, MANIFEST_TYPE)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    with pytest.raises(CnbError, match="an index as well"):
        read_image(f"oci:{layout}")


def test_a_layer_of_another_kind_is_named(layout: Path, image: Image) -> None:
    manifest = json.loads(image.manifest_bytes)
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+bzip2"
    entry = add_document(layout, json.dumps(manifest).encode(), MANIFEST_TYPE)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    with pytest.raises(UnsupportedImage, match="bzip2"):
        read_image(f"oci:{layout}")


def test_what_a_foreign_config_says_is_kept(layout: Path, image: Image, tmp_path: Path) -> None:
    config = json.loads(image.config_bytes)
    config["config"] |= {"Healthcheck": {"Test": ["CMD", "true"]}, "Cmd": None, "OnBuild": None}
    config["moby.buildkit.cache.v0"] = "x"
    entry = add_document(layout, json.dumps(config).encode(), "application/vnd.docker.container.image.v1+json")
    manifest = {**json.loads(image.manifest_bytes), "config": entry}
    manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    top = add_document(layout, json.dumps(manifest).encode(), manifest["mediaType"])
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    found = read_image(f"oci:{layout}")
    again = json.loads(found.config.render())
    assert again["moby.buildkit.cache.v0"] == "x"
    assert again["config"]["Healthcheck"] == {"Test": ["CMD", "true"]}
    assert json.loads(found.manifest_bytes)["mediaType"] == MANIFEST_TYPE
    assert b"docker" not in found.manifest_bytes


@pytest.mark.parametrize("text", ["", "dir", "docker://x", "oci:", "oci:dir:", "oci-archive::x"])
def test_a_text_that_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        read_image(text)


def test_a_place_without_a_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="oci-layout"):
        read_image(f"oci:{tmp_path}")
    with pytest.raises(ImageNotFound, match="nowhere: is not there"):
        read_image(f"oci:{tmp_path / 'nowhere'}")
    (tmp_path / "image.tar").touch()
    with pytest.raises(ImageNotFound, match="is not a directory") as caught:
        read_image(f"oci:{tmp_path / 'image.tar'}")
    assert "oci-archive:" in str(caught.value.hint)


def docker_archive(path: Path, image: Image, *, names: list[str] | None = None, compress: bool = False) -> Path:
    """What `docker save` writes, with the second layer as a link to another name."""
    work = path.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    layers = []
    for number, layer in enumerate(image.layers):
        (work / str(number)).mkdir(parents=True)
        (work / str(number) / "layer.tar").write_bytes(gzip.decompress(layer.path.read_bytes()))
        layers.append(f"{number}/layer.tar")
    (work / "1/layer.tar").rename(work / "real.tar")
    (work / "1/layer.tar").symlink_to("../real.tar")
    (work / "config.json").write_bytes(image.config_bytes)
    entry = {"Config": "config.json", "RepoTags": names, "Layers": layers}
    (work / "manifest.json").write_text(json.dumps([entry]))
    with tarfile.open(path, "w:gz" if compress else "w") as archive:
        for child in sorted(work.iterdir()):
            archive.add(child, child.name)
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["", ":name:tag", ":docker.io/library/name:tag"])
def test_a_docker_archive_is_read(tmp_path: Path, image: Image, compress: bool, name: str) -> None:
    path = docker_archive(tmp_path / "saved.tar", image, names=["name:tag"], compress=compress)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = read_image(f"docker-archive:{path}{name}", scratch=scratch)
    assert found.config_bytes == image.config_bytes
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
    validate_image(found)


def test_a_docker_archive_whose_layer_is_another_is_refused(tmp_path: Path, image: Image) -> None:
    wrong = replace(image, config_bytes=image_of(*reversed(image.layers)).config_bytes)
    path = docker_archive(tmp_path / "saved.tar", wrong)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(BlobMismatch, match="does not match"):
        read_image(f"docker-archive:{path}", scratch=tmp_path / "scratch")


def test_a_name_that_a_docker_archive_lacks_is_named(tmp_path: Path, image: Image) -> None:
    path = docker_archive(tmp_path / "saved.tar", image, names=["name:tag"])
    with pytest.raises(ImageNotFound, match="there are: `name:tag`"):
        read_image(f"docker-archive:{path}:other", scratch=tmp_path)
