"""Images pulled from a real registry through a proxy that makes trouble: the image comes whole, or one error says why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import Platform
from lifecycle.oci.errors import BlobMismatch
from lifecycle.oci.image import Image
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.errors import (
    AccessDenied,
    LoginRefused,
    NoSuchImage,
    RateLimited,
    RegistryFailed,
    RegistryUnreachable,
    UnexpectedAnswer,
)
from lifecycle.registry.pull import pull, resolve
from lifecycle.registry.settings import RegistrySettings
from tests.integration.fault_proxy import (
    PLACES,
    Fault,
    FaultProxy,
    Kind,
    answer,
    cut_content,
    damage,
    expire,
    hang_up,
    lose_answer,
    say_instead,
    say_nothing,
    slow,
)
from tests.integration.registry import Registry, start_registry
from tests.integration.token_server import TokenServer
from tests.lifecycle.oci.images import file_layer, image_of, validate_image, write_layout
from tests.lifecycle.registry.fake_registry import ALICE, ALICE_PAIR, IMPATIENT, Waits, client_for

pytestmark = pytest.mark.integration
_PLATFORM = Platform(os="linux", architecture="amd64")
_ASKED = (Kind.HEAD_MANIFEST, Kind.GET_MANIFEST, Kind.GET_BLOB)
_FETCHED = (Kind.GET_MANIFEST, Kind.GET_BLOB)
_OTHER = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    directory = tmp_path_factory.mktemp("image")
    noise = os.urandom(500_000).hex()
    return image_of(file_layer(directory, {"a": "1"}), file_layer(directory, {"b": noise}))


@pytest.fixture(scope="module")
def layout(image: Image, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_layout(tmp_path_factory.mktemp("layout") / "image", image)


@pytest.fixture(scope="module")
def registry(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        running.push(layout, "team/app:1")
        yield running


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.host) as running:
        yield running


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(directory=tmp_path / "images")


def fetch(
    proxy: FaultProxy, blobs: BlobStore, *, waits: Waits | None = None, settings: RegistrySettings | None = None
) -> Image:
    """The image, whole."""
    client = client_for(login=ALICE, waits=waits, settings=settings)
    try:
        resolved = resolve(client, Reference.parse(f"{proxy.host}/team/app:1"), _PLATFORM, blobs)
        found = pull(client, resolved, blobs)
    finally:
        client.close()
    validate_image(found)
    return found


def fail(
    proxy: FaultProxy, blobs: BlobStore, image: Image, kind: type[CnbError], settings: RegistrySettings | None = None
) -> CnbError:
    """The error of a pull that must fail; what it leaves does not keep the next one from success."""
    with pytest.raises(kind) as caught:
        fetch(proxy, blobs, settings=settings)
    proxy.relent()
    assert fetch(proxy, blobs).digest == image.digest
    assert caught.value.exit_code in (32, 3)
    assert proxy.host in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", _ASKED, ids=lambda kind: kind.value)
def test_a_registry_that_wants_to_be_left_alone(proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind) -> None:
    proxy.once(answer(429, "TOOMANYREQUESTS", Retry_After="3"), kind)
    waits = Waits()
    assert fetch(proxy, blobs, waits=waits).digest == image.digest
    assert proxy.is_done
    assert waits.seconds == [3]


@pytest.mark.parametrize("kind", _ASKED, ids=lambda kind: kind.value)
@pytest.mark.parametrize("status", [500, 503])
def test_errors_of_the_registry_that_pass(
    proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind, status: int
) -> None:
    proxy.once(answer(status), kind, times=2)
    assert fetch(proxy, blobs).digest == image.digest
    assert proxy.is_done


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, UnexpectedAnswer),
        (401, LoginRefused),
        (403, AccessDenied),
        (404, NoSuchImage),
        (405, UnexpectedAnswer),
        (413, UnexpectedAnswer),
        (429, RateLimited),
        (503, RegistryFailed),
        (507, RegistryFailed),
    ],
)
def test_a_refusal_that_stays(
    proxy: FaultProxy, blobs: BlobStore, image: Image, status: int, error: type[CnbError]
) -> None:
    proxy.always(answer(status, "OF_THE_TESTS"), Kind.GET_BLOB, at=str(image.layers[1].descriptor.digest))
    assert ("answer", f"{status} OF_THE_TESTS: of the tests") in fail(proxy, blobs, image, error).facts


@pytest.mark.parametrize("kind", _ASKED, ids=lambda kind: kind.value)
@pytest.mark.parametrize("fault", [hang_up, lose_answer])
def test_a_connection_that_ends_without_an_answer(
    proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind, fault: Fault
) -> None:
    proxy.once(fault, kind, times=2)
    assert fetch(proxy, blobs).digest == image.digest
    assert proxy.is_done


@pytest.mark.parametrize("kind", _FETCHED, ids=lambda kind: kind.value)
@pytest.mark.parametrize("place", PLACES)
def test_a_connection_that_breaks_in_the_middle(
    proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind, place: str
) -> None:
    proxy.once(cut_content(PLACES[place]), kind, times=2)
    assert fetch(proxy, blobs).digest == image.digest
    assert proxy.is_done


@pytest.mark.parametrize("kind", _FETCHED, ids=lambda kind: kind.value)
def test_content_that_is_not_what_its_digest_says(
    proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind
) -> None:
    proxy.always(damage, kind)
    fail(proxy, blobs, image, BlobMismatch)


def test_a_tag_that_is_said_to_be_what_is_not_there(proxy: FaultProxy, blobs: BlobStore, image: Image) -> None:
    proxy.once(say_instead(Docker_Content_Digest=_OTHER), Kind.HEAD_MANIFEST)
    assert fetch(proxy, blobs).digest == image.digest
    proxy.once(say_instead(Docker_Content_Digest=_OTHER), Kind.HEAD_MANIFEST)
    proxy.once(say_instead(Docker_Content_Digest=_OTHER), Kind.GET_MANIFEST, at="/manifests/1")
    fail(proxy, BlobStore(directory=blobs.directory / "other"), image, UnexpectedAnswer)


@pytest.mark.parametrize("kind", _FETCHED, ids=lambda kind: kind.value)
def test_an_encoding_that_nobody_asked_for(proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind) -> None:
    proxy.always(say_instead(Content_Encoding="gzip"), kind)
    fail(proxy, blobs, image, UnexpectedAnswer)


@pytest.mark.parametrize("kind", _ASKED, ids=lambda kind: kind.value)
def test_a_registry_that_falls_silent(proxy: FaultProxy, blobs: BlobStore, image: Image, kind: Kind) -> None:
    proxy.always(say_nothing, kind)
    fail(proxy, blobs, image, RegistryUnreachable, settings=RegistrySettings(patience=IMPATIENT))


def test_a_slow_registry(proxy: FaultProxy, blobs: BlobStore, image: Image) -> None:
    proxy.always(slow(1_000_000), *_ASKED)
    assert fetch(proxy, blobs).digest == image.digest


def test_a_token_that_expires_on_the_way(layout: str, blobs: BlobStore, image: Image, tmp_path: Path) -> None:
    with (
        TokenServer(tmp_path / "tokens", {":".join(ALICE_PAIR): ("team/",)}) as tokens,
        start_registry(tmp_path / "registry", token_auth=tokens.settings()) as registry,
        FaultProxy(registry.host) as proxy,
    ):
        replace(registry, login=ALICE_PAIR).push(layout, "team/app:1")
        asked = len(tokens.scopes)
        proxy.once(expire, Kind.GET_BLOB, at=str(image.layers[1].descriptor.digest))
        assert fetch(proxy, blobs).digest == image.digest
        assert proxy.is_done
        assert len(tokens.scopes) - asked == 2
