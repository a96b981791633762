"""Images that go into registries, beside other places."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Connections, Output, parse_output, write_outputs
from lifecycle.exporters.transfer import Transfer, size_of_blobs
from lifecycle.oci.errors import OciError
from lifecycle.oci.image import Image
from lifecycle.registry.errors import AccessDenied, LoginNeeded, RegistryError
from tests.lifecycle.exporters.writing import check, connections, write_to
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import ALICE_PAIR, Exchange, FakeRegistry, client_for


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_of(file_layer(tmp_path / "made", {"workspace/a": "1"}), file_layer(tmp_path / "made", {"b": "2"}))


def refuse(exchange: Exchange) -> bool:
    return exchange.answer(403, b'{"errors":[{"code":"DENIED","message":"no"}]}')


def test_tags_of_one_repository_are_one_upload(registry: FakeRegistry, image: Image, tmp_path: Path) -> None:
    texts = [f"docker://{registry.host}/team/app:{tag}" for tag in ("1", "2")]
    written = write_to(image, texts[0], f"oci:{tmp_path}/layout", texts[1])
    assert written == tuple(f"{text}@{image.digest}" for text in (texts[0], f"oci:{tmp_path}/layout:latest", texts[1]))
    assert registry.manifests["team/app:1"] == registry.manifests["team/app:2"]
    blobs = 1 + len(image.layers)
    assert len([path for path in registry.paths("PUT") if "/blobs/" in path]) == blobs
    assert len(registry.paths("HEAD")) == blobs


def test_a_second_repository_has_the_blobs_from_the_first(registry: FakeRegistry, image: Image) -> None:
    outputs = [parse_output(f"docker://{registry.host}/{name}:1") for name in ("team/app", "team/copy")]
    registry.elsewhere = {"team/app": {str(image.id), *(str(layer.descriptor.digest) for layer in image.layers)}}
    transfers = [one.transfer for one in write_outputs(image, outputs, connections())]
    assert transfers == [Transfer(sent=size_of_blobs(image)), Transfer(mounted=size_of_blobs(image))]
    assert registry.manifests["team/copy:1"][0] == image.manifest_bytes


def test_layers_of_a_base_are_taken_from_where_it_was(registry: FakeRegistry, image: Image) -> None:
    base = image.layers[0]
    registry.blobs[str(base.descriptor.digest)] = base.path.read_bytes()
    registry.elsewhere = {"team/base": {str(base.descriptor.digest)}}
    origin = Reference.parse(f"{registry.host}/team/base:1")
    from_there = Connections(client=client_for(), env={}, mount_from=(origin,))
    (written,) = write_outputs(image, [parse_output(f"docker://{registry.host}/team/app")], from_there)
    assert written.transfer.mounted == base.descriptor.size
    assert written.transfer.sent == size_of_blobs(image) - base.descriptor.size
    assert written.location == f"docker://{registry.host}/team/app:latest@{image.digest}"


@pytest.mark.parametrize("first", ["docker", "oci"])
def test_no_tag_moves_when_another_output_fails(
    first: str, registry: FakeRegistry, image: Image, tmp_path: Path
) -> None:
    image.layers[1].path.write_bytes(b"damaged")
    texts = {"docker": f"docker://{registry.host}/team/app:1", "oci": f"oci:{tmp_path}/layout"}
    if first == "oci":
        registry.always("/blobs/uploads/", refuse)
    with pytest.raises((OciError, RegistryError)):
        write_to(image, texts.pop(first), *texts.values())
    assert not registry.manifests
    assert not (tmp_path / "layout").exists()


def test_a_manifest_that_the_registry_refuses_leaves_files_as_they_were(
    registry: FakeRegistry, image: Image, tmp_path: Path
) -> None:
    registry.always("/manifests/", refuse)
    with pytest.raises(AccessDenied):
        write_to(image, f"oci:{tmp_path}/layout", f"docker://{registry.host}/team/app:1", f"oci-archive:{tmp_path}/x")
    assert {path.name for path in tmp_path.iterdir()} == {"made"}


def test_whoever_may_not_write_is_told_before_the_work(registry: FakeRegistry) -> None:
    registry.login = ALICE_PAIR
    with pytest.raises(LoginNeeded) as caught:
        check(f"docker://{registry.host}/team/app")
    assert caught.value.exit_code == 62
    registry.login = None
    registry.always("/blobs/uploads/", refuse)
    with pytest.raises(AccessDenied):
        check(f"docker://{registry.host}/team/app")
    assert not registry.blobs


def test_progress_comes_to_what_there_is(registry: FakeRegistry, image: Image) -> None:
    told: dict[str, int] = {}

    @contextlib.contextmanager
    def show(output: Output) -> Iterator[Callable[[int], object]]:
        counts: list[int] = []
        yield counts.append
        told[output.location] = sum(counts)

    output = parse_output(f"docker://{registry.host}/team/app")
    for _ in range(2):
        write_outputs(image, [output], connections(), show=show)
        assert told == {output.location: size_of_blobs(image)}
