"""Images on their way from a registry: whole, in parts, damaged, and not what they are said to be."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.reference import Reference
from lifecycle.oci.config import ImageConfig
from lifecycle.oci.descriptor import DOCKER_MANIFEST_TYPE, INDEX_TYPE, MANIFEST_TYPE, Platform
from lifecycle.oci.errors import BlobMismatch, BrokenImage, UnpackFailed, UnsupportedImage
from lifecycle.oci.image import Image, Layer, make_image
from lifecycle.oci.unpack import unpack_image
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import NoSuchImage, PlatformMissing, RegistryUnreachable, UnexpectedAnswer
from lifecycle.registry.pull import pull, resolve
from lifecycle.registry.settings import RegistrySettings
from lifecycle.registry.transfer import Transfer
from tests.lifecycle.oci.images import content_of, file_layer, image_of, validate_image
from tests.lifecycle.registry.fake_registry import IMPATIENT, Exchange, FakeRegistry, Flood, Hook, Waits, client_for
from tests.lifecycle.registry.processes import start_pull

AMD64 = Platform(os="linux", architecture="amd64")
ARM64 = Platform(os="linux", architecture="arm64")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    noise = os.urandom(300_000).hex()
    return image_of(file_layer(tmp_path / "made", {"a": "1"}), file_layer(tmp_path / "made", {"b": noise}))


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(directory=tmp_path / "images")


def fetch(
    name: str, blobs: BlobStore, *, wanted: Platform = AMD64, client: RegistryClient | None = None
) -> tuple[Digest, Image]:
    client = client or client_for()
    try:
        resolved = resolve(client, Reference.parse(name), wanted, blobs)
        return resolved.digest, pull(client, resolved, blobs)
    finally:
        client.close()


def leftovers(blobs: BlobStore) -> list[str]:
    return [path.name for path in blobs.directory.rglob(".*") if path.is_file()]


def test_an_image_comes_whole(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    digest, found = fetch(registry.add(image), blobs)
    assert digest == image.digest == found.digest
    assert found.config_bytes == image.config_bytes
    assert content_of(found.layers[0], "a") == b"1"
    validate_image(found)
    assert leftovers(blobs) == []


def test_what_is_there_is_not_fetched_again(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    name = registry.add(image)
    fetch(name, blobs)
    registry.requests.clear()
    fetch(name, blobs)
    # Only what the tag stands for now, in the way that does not count as a pull.
    assert registry.paths("GET") == ["/v2/"] or registry.paths("GET") == []
    assert registry.paths("HEAD") == ["/v2/team/app/manifests/1"]
    registry.requests.clear()
    fetch(f"{registry.host}/team/app@{image.digest}", blobs)
    assert registry.requests == []


def test_a_digest_pins_an_image(registry: FakeRegistry, image: Image, blobs: BlobStore, tmp_path: Path) -> None:
    registry.add(image)
    other = image_of(file_layer(tmp_path / "made", {"c": "3"}))
    registry.add(other)
    assert fetch(f"{registry.host}/team/app:1", blobs)[1].digest == other.digest
    assert fetch(f"{registry.host}/team/app:1@{image.digest}", blobs)[1].digest == image.digest


def test_without_head_and_without_digests(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    name = registry.add(image)

    def plain(exchange: Exchange) -> bool:
        if exchange.command == "HEAD":
            return exchange.answer(405)
        content, media_type = registry.manifests["team/app:1"]
        return exchange.answer(200, content, Content_Type=media_type)

    registry.always("/manifests/", plain)
    assert fetch(name, blobs)[0] == image.digest


def index_of(registry: FakeRegistry, images: dict[str, Image], name: str = "team/app:1") -> str:
    entries = []
    for platform, image in images.items():
        registry.add(image, f"team/app:{platform.replace('/', '-')}")
        system, architecture, *variant = platform.split("/")
        about = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        entries.append({**image.descriptor.render(), "platform": about})
    attestation = {"mediaType": MANIFEST_TYPE, "digest": f"sha256:{'f' * 64}", "size": 5}
    entries.insert(0, {**attestation, "platform": {"os": "unknown", "architecture": "unknown"}})
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return registry.add_manifest(json.dumps(document).encode(), name, media_type=INDEX_TYPE)


def for_architecture(image: Image, architecture: str) -> Image:
    return make_image(ImageConfig(architecture=architecture, os="linux"), image.layers)


def test_the_image_of_the_platform_is_taken(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    arm = for_architecture(image, "arm64")
    name = index_of(registry, {"linux/arm64/v8": arm, "linux/amd64": image})
    index_digest = Digest.of(registry.manifests["team/app:1"][0])
    assert fetch(name, blobs)[0] == index_digest
    assert fetch(name, blobs)[1].digest == image.digest
    assert fetch(name, blobs, wanted=ARM64)[1].digest == arm.digest


def test_a_platform_that_is_not_there_is_named_with_those_that_are(
    registry: FakeRegistry, image: Image, blobs: BlobStore
) -> None:
    arm = for_architecture(image, "arm64")
    name = index_of(registry, {"linux/arm64/v8": arm, "linux/s390x": for_architecture(image, "s390x")})
    with pytest.raises(PlatformMissing, match="is not made for linux/amd64") as caught:
        fetch(name, blobs)
    assert dict(caught.value.facts) == {"made for": "linux/arm64/v8, linux/s390x"}
    with pytest.raises(PlatformMissing) as caught:
        fetch(registry.add(arm), blobs)
    assert caught.value.available == ("linux/arm64",)
    lying = index_of(registry, {"linux/amd64": arm})
    with pytest.raises(PlatformMissing):
        fetch(lying, blobs)


def test_indexes_without_end_are_refused(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    about = {"platform": {"os": "linux", "architecture": "amd64"}}
    descriptor: dict[str, object] = {**image.descriptor.render(), **about}
    registry.add(image)
    for depth in range(6):
        content = json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode()
        name = registry.add_manifest(content, f"team/app:{depth}", media_type=INDEX_TYPE)
        descriptor = {"mediaType": INDEX_TYPE, "digest": str(Digest.of(content)), "size": len(content), **about}
        if depth < 4:
            assert fetch(name, blobs)[1].digest == image.digest
    with pytest.raises(UnsupportedImage, match="index of indexes"):
        fetch(name, blobs)


def test_documents_of_docker_become_those_of_oci(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    document = json.loads(image.manifest_bytes)
    document["mediaType"] = DOCKER_MANIFEST_TYPE
    document["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    for layer in document["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    registry.add(image)
    name = registry.add_manifest(json.dumps(document).encode(), media_type=DOCKER_MANIFEST_TYPE)
    digest, found = fetch(name, blobs)
    assert digest == Digest.of(registry.manifests["team/app:1"][0])
    assert json.loads(found.manifest_bytes)["mediaType"] == MANIFEST_TYPE
    validate_image(found)


def test_a_layer_that_occurs_twice_is_fetched_once(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    twice = make_image(ImageConfig(architecture="amd64", os="linux"), [image.layers[0], image.layers[0]])
    found = fetch(registry.add(twice), blobs)[1]
    assert len(found.layers) == 2
    assert len([path for path in registry.paths() if str(image.layers[0].descriptor.digest) in path]) == 1


def part(size: int) -> Hook:
    """Announces a whole blob and breaks off after `size` bytes."""

    def answer(exchange: Exchange) -> bool:
        content = exchange.registry.blobs[exchange.path.rpartition("/")[2]]
        wanted = exchange.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        exchange.send_response(206 if wanted else 200)
        if wanted:
            exchange.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        exchange.send_header("Content-Length", str(len(content) - start))
        exchange.end_headers()
        exchange.wfile.write(content[start : start + size])
        return exchange.cut()

    return answer


@pytest.mark.parametrize("serve_parts", [True, False])
@pytest.mark.parametrize("size", [0, 1, 150_000, -1])
def test_a_transfer_that_breaks_is_continued(
    registry: FakeRegistry, image: Image, blobs: BlobStore, size: int, serve_parts: bool
) -> None:
    registry.serve_parts = serve_parts
    digest = str(image.layers[1].descriptor.digest)
    first = size if size >= 0 else image.layers[1].descriptor.size - 1
    registry.before(digest, part(first), part(5) if serve_parts else part(0))
    found = fetch(registry.add(image), blobs)[1]
    validate_image(found)
    assert leftovers(blobs) == []


def test_a_transfer_that_never_ends_is_given_up_and_continued_another_day(
    registry: FakeRegistry, image: Image, blobs: BlobStore
) -> None:
    layer = image.layers[1].descriptor
    name = registry.add(image)
    registry.before(str(layer.digest), part(1000), *[part(0)] * 5)
    with pytest.raises(RegistryUnreachable, match="failed: it ended in the middle of an answer"):
        fetch(name, blobs)
    assert f".partial-{layer.digest.hex}" in leftovers(blobs)
    ranges: list[str | None] = []
    registry.always(str(layer.digest), lambda exchange: bool(ranges.append(exchange.headers.get("Range"))))
    validate_image(fetch(name, blobs)[1])
    assert ranges == ["bytes=1000-"]
    assert leftovers(blobs) == []


def test_what_an_earlier_transfer_has_left_may_be_damaged(
    registry: FakeRegistry, image: Image, blobs: BlobStore
) -> None:
    for layer, content in zip(image.layers, (b"x" * 50, b"x" * 10_000_000), strict=True):
        path = blobs.path(layer.descriptor.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".partial-{path.name}").write_bytes(content)
    validate_image(fetch(registry.add(image), blobs)[1])
    assert leftovers(blobs) == []


def test_what_an_earlier_transfer_has_left_may_be_a_link(
    registry: FakeRegistry, image: Image, blobs: BlobStore, tmp_path: Path
) -> None:
    (tmp_path / "guard").write_text("untouched")
    path = blobs.path(image.layers[0].descriptor.digest)
    path.parent.mkdir(parents=True)
    path.with_name(f".partial-{path.name}").symlink_to(tmp_path / "guard")
    with pytest.raises(OSError, match="symbolic links"):
        fetch(registry.add(image), blobs)
    assert (tmp_path / "guard").read_text() == "untouched"


def test_a_registry_that_gives_more_and_less_is_given_up(
    registry: FakeRegistry, tmp_path: Path, blobs: BlobStore
) -> None:
    image = image_of(file_layer(tmp_path / "made", {"a": os.urandom(300_000).hex()}))
    digest = str(image.layers[0].descriptor.digest)
    sizes = itertools.cycle((200_000, 100_000))

    def answer(exchange: Exchange) -> bool:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(image.layers[0].descriptor.size))
        exchange.end_headers()
        exchange.wfile.write(exchange.registry.blobs[digest][: next(sizes)])
        return exchange.cut()

    registry.always(digest, answer)
    with pytest.raises(RegistryUnreachable):
        fetch(registry.add(image), blobs)


def test_a_trickle_is_given_up(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    layer = image.layers[1].descriptor

    def trickle(exchange: Exchange) -> bool:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(layer.size))
        exchange.end_headers()
        try:
            for _ in range(500):
                exchange.wfile.write(b"x")
                time.sleep(0.02)
        except OSError:
            pass
        return exchange.cut()

    registry.always(str(layer.digest), trickle)
    started = time.monotonic()
    client = client_for(settings=RegistrySettings(patience=IMPATIENT))
    with pytest.raises(RegistryUnreachable, match=r"only \d+ bytes came in"):
        fetch(registry.add(image), blobs, client=client)
    # Each attempt brings some bytes, so a few are made; not for as long as that goes on.
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("lie", ["flip", "longer", "shorter", "empty"])
@pytest.mark.parametrize("which", ["layer", "config"])
def test_a_blob_that_is_not_what_it_should_be_is_refused(
    registry: FakeRegistry, image: Image, blobs: BlobStore, lie: str, which: str
) -> None:
    name = registry.add(image)
    digest = str(image.layers[0].descriptor.digest if which == "layer" else image.id)
    content = registry.blobs[digest]
    lies = {"flip": b"X" + content[1:], "longer": content + b"x", "shorter": content[:-1], "empty": b""}
    registry.blobs[digest] = lies[lie]
    expected = (RegistryUnreachable,) if which == "layer" and lie in ("shorter", "empty") else (BlobMismatch,)
    with pytest.raises(expected):
        fetch(name, blobs)
    assert not blobs.path(Digest.parse(digest)).exists()


@pytest.mark.parametrize(
    ("header", "error"),
    [(f"sha256:{'0' * 64}", UnexpectedAnswer), ("garbage", UnexpectedAnswer), ("sha256:../../x", UnexpectedAnswer)],
)
def test_a_digest_that_the_registry_only_claims(
    registry: FakeRegistry, image: Image, blobs: BlobStore, header: str, error: type[CnbError]
) -> None:
    name = registry.add(image)

    def claim(exchange: Exchange) -> bool:
        content, media_type = registry.manifests["team/app:1"]
        length = str(len(content))
        return exchange.answer(
            200, content, Content_Type=media_type, Docker_Content_Digest=header, Content_Length=length
        )

    registry.always("/manifests/1", claim)
    with pytest.raises(error):
        fetch(name, blobs)


def test_a_manifest_that_has_another_digest_is_refused(
    registry: FakeRegistry, image: Image, blobs: BlobStore, tmp_path: Path
) -> None:
    registry.add(image)
    other = image_of(file_layer(tmp_path / "made", {"c": "3"}))
    registry.manifests[f"team/app@{image.digest}"] = (other.manifest_bytes, MANIFEST_TYPE)
    with pytest.raises(BlobMismatch):
        fetch(f"{registry.host}/team/app@{image.digest}", blobs)
    with pytest.raises(BlobMismatch):
        fetch(f"{registry.host}/team/app:1", blobs)


def test_a_tag_that_moves_while_it_is_asked_for(
    registry: FakeRegistry, image: Image, blobs: BlobStore, tmp_path: Path
) -> None:
    name = registry.add(image)
    gone = str(Digest.of(b"what it was a moment ago"))
    registry.before("/manifests/1", lambda exchange: exchange.answer(200, Docker_Content_Digest=gone), method="HEAD")
    assert fetch(name, blobs)[0] == image.digest


def test_a_name_that_is_not_there(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    registry.add(image)
    for name in ("team/app:2", "team/other:1", f"team/app@sha256:{'0' * 64}"):
        with pytest.raises(NoSuchImage) as caught:
            fetch(f"{registry.host}/{name}", blobs)
        assert dict(caught.value.facts)["answer"] == "404 MANIFEST_UNKNOWN: manifest unknown"
    del registry.blobs[str(image.layers[0].descriptor.digest)]
    with pytest.raises(NoSuchImage, match="has no such layer"):
        fetch(f"{registry.host}/team/app:1", blobs)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b'{"schemaVersion":2,"config":5,"layers":[]}',
        b'{"schemaVersion":2,"config":{},"layers":{}}',
        b'{"schemaVersion":2,"manifests":[{}]}',
        b'{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}',
        b'{"schemaVersion":1,"fsLayers":[]}',
        b"\xff" * 100,
        b"[" * 50_000,
        b'{"schemaVersion":2,"manifests":[]}',
    ],
)
def test_no_document_is_too_odd(registry: FakeRegistry, blobs: BlobStore, content: bytes) -> None:
    name = registry.add_manifest(content, media_type="application/json")
    with pytest.raises(CnbError):
        fetch(name, blobs)


def test_a_document_of_gigabytes_is_not_read(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    name = registry.add(image)
    flood = Flood(content_type=MANIFEST_TYPE)
    registry.always(f"/manifests/{image.digest}", flood)
    with pytest.raises(RegistryUnreachable):
        fetch(name, blobs)
    assert flood.sent
    assert max(flood.sent) < 1 << 26


def test_a_layer_of_another_size_than_it_is_said_is_refused(
    registry: FakeRegistry, image: Image, blobs: BlobStore
) -> None:
    registry.add(image)
    for size in (image.layers[1].descriptor.size - 1, image.layers[1].descriptor.size + 1, 1 << 50):
        document = json.loads(image.manifest_bytes)
        document["layers"][1]["size"] = size
        name = registry.add_manifest(json.dumps(document).encode())
        with pytest.raises((BlobMismatch, RegistryUnreachable)):
            fetch(name, blobs)


def test_a_config_that_names_other_layers_is_refused(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    config = json.loads(image.config_bytes)
    config["rootfs"]["diff_ids"].pop()
    content = json.dumps(config).encode()
    document = json.loads(image.manifest_bytes)
    document["config"] |= {"digest": str(Digest.of(content)), "size": len(content)}
    registry.add(image)
    registry.blobs[str(Digest.of(content))] = content
    with pytest.raises(BrokenImage, match="has 2 layers, but its config names 1"):
        fetch(registry.add_manifest(json.dumps(document).encode()), blobs)


@pytest.mark.integration
def test_a_layer_that_unpacks_to_something_else_is_found_when_it_is_unpacked(
    registry: FakeRegistry, image: Image, blobs: BlobStore, tmp_path: Path
) -> None:
    wrong: list[Layer] = [replace(layer, diff_id=Digest.of(b"another")) for layer in image.layers]
    found = fetch(registry.add(make_image(image.config, wrong)), blobs)[1]
    with pytest.raises(UnpackFailed, match="has the diff id"):
        unpack_image(found, tmp_path / "root")


def test_a_blob_in_the_store_that_has_lost_its_content_is_fetched_again(
    registry: FakeRegistry, image: Image, blobs: BlobStore
) -> None:
    name = registry.add(image)
    fetch(name, blobs)
    for digest in (image.digest, image.id, image.layers[0].descriptor.digest):
        blobs.path(digest).write_bytes(b"")
    validate_image(fetch(name, blobs)[1])
    # The size of documents says nothing when it stays the same.
    blobs.path(image.id).write_bytes(b"x" * len(image.config_bytes))
    validate_image(fetch(name, blobs)[1])


def test_several_processes_fetch_once(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    name = registry.add(image)
    registry.always("/blobs/", lambda exchange: bool(time.sleep(0.1)))
    workers = [start_pull(name, blobs.directory) for _ in range(4)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert (worker.returncode, errors) == (0, "")
    layer = str(image.layers[1].descriptor.digest)
    assert len([path for path in registry.paths() if layer in path]) == 1
    assert leftovers(blobs) == []


def test_what_another_has_brought_meanwhile_is_not_fetched(
    registry: FakeRegistry, image: Image, blobs: BlobStore
) -> None:
    reference = Reference.parse(registry.add(image))
    fetch(str(reference), blobs)
    registry.requests.clear()
    client = client_for()
    layers = list(image.manifest.layers)
    # As one that looked for them before they were there.
    Transfer(client, client.repository(reference), blobs, str(reference), None).run(layers)
    assert registry.requests == []
    assert leftovers(blobs) == []


def test_an_interruption_ends_all_transfers_at_once(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    name = registry.add(image)
    started, released = threading.Event(), threading.Event()

    def stall(exchange: Exchange) -> bool:
        started.set()
        return bool(released.wait(20)) and False

    registry.always("/blobs/", lambda exchange: str(image.id) not in exchange.path and stall(exchange))
    first = str(image.layers[0].descriptor.digest)
    registry.hooks.insert(0, lambda exchange: first in exchange.path and bool(started.wait(5)) and exchange.answer(403))
    client = client_for(waits=Waits())
    since = time.monotonic()
    try:
        with pytest.raises(CnbError, match="denies access"):
            fetch(name, blobs, client=client)
    finally:
        released.set()
    assert time.monotonic() - since < 5


def test_the_blobs_that_nobody_uses_are_forgotten(registry: FakeRegistry, image: Image, blobs: BlobStore) -> None:
    name = registry.add(image)
    fetch(name, blobs)
    for path in blobs.directory.rglob("*"):
        os.utime(path, (0, 0))
    fetch(name, blobs)
    stale = blobs.path(Digest.of(b"unused"))
    stale.write_bytes(b"unused")
    os.utime(stale, (0, 0))
    left = stale.with_name(".partial-left")
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    blobs.forget_unused(3600)
    names = {path.name for path in blobs.directory.glob("blobs/sha256/*")}
    assert names == {image.digest.hex, image.id.hex, *(layer.descriptor.digest.hex for layer in image.layers)}


@pytest.mark.integration
def test_a_layer_that_is_not_compressed(registry: FakeRegistry, image: Image, blobs: BlobStore, tmp_path: Path) -> None:
    plain = gzip.decompress(image.layers[0].path.read_bytes())
    document = json.loads(image.manifest_bytes)
    about = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": str(Digest.of(plain)), "size": len(plain)}
    document["layers"][0] = about
    registry.add(image)
    registry.blobs[str(Digest.of(plain))] = plain
    found = fetch(registry.add_manifest(json.dumps(document).encode()), blobs)[1]
    unpack_image(found, tmp_path / "root")
    assert (tmp_path / "root/a").read_text() == "1"
