"""Images pushed to a real registry through a proxy that makes trouble: whatever happens, a tag names one whole image.

Each test has a repository of its own, in which the tag names another image before.
"""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.registry.errors import (
    AccessDenied,
    BlobsUnknown,
    LoginRefused,
    ManifestRefused,
    RateLimited,
    RegistryError,
    RegistryFailed,
    RegistryUnreachable,
    TooMuch,
    UnexpectedAnswer,
)
from lifecycle.registry.settings import RegistrySettings
from tests.integration.fault_proxy import (
    PLACES,
    Exchange,
    Fault,
    FaultProxy,
    Kind,
    answer,
    claim,
    cut_body,
    expire,
    forget,
    hang_up,
    lose_answer,
    say_instead,
    say_nothing,
    send_elsewhere,
    slow,
)
from tests.integration.image_check import run_tool
from tests.integration.pushes import Images, Place, make_images
from tests.integration.registry import Registry, start_registry
from tests.integration.token_server import TokenServer
from tests.lifecycle.registry.fake_registry import ALICE_PAIR, IMPATIENT, Waits

pytestmark = pytest.mark.integration
_ASKED = (Kind.HEAD_BLOB, Kind.POST, Kind.PATCH, Kind.PUT_BLOB, Kind.PUT_MANIFEST)
# What changes something in the registry
_CHANGING = (Kind.POST, Kind.PATCH, Kind.PUT_BLOB, Kind.PUT_MANIFEST)
_OTHER = f"sha256:{'0' * 64}"
_ATTEMPTS = 5
# Larger than documents
_LARGE = 100_000
# Answers that an upload in parts gets where there are none
_BEGINS_ANEW = (400, 404, 405, 415, 416, 501)
_REFUSALS: dict[int, type[RegistryError]] = {401: LoginRefused, 403: AccessDenied, 413: TooMuch, 507: RegistryFailed}

kinds = pytest.mark.parametrize("kind", _ASKED, ids=lambda kind: kind.value)
changing = pytest.mark.parametrize("kind", _CHANGING, ids=lambda kind: kind.value)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def proxy(registry: Registry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.host) as running:
        yield running


@pytest.fixture
def place(registry: Registry, proxy: FaultProxy, images: Images) -> Place:
    made = Place(registry=registry, proxy=proxy, images=images)
    made.push(images.old, host=registry.host)
    return made


@kinds
def test_a_registry_that_wants_to_be_left_alone(place: Place, kind: Kind) -> None:
    place.proxy.once(answer(429, "TOOMANYREQUESTS", Retry_After="3"), kind)
    waits = Waits()
    assert place.succeed(waits=waits).retries == 1
    assert waits.seconds == [3]


@pytest.mark.parametrize(
    ("wanted", "least", "most"),
    [("86400", 60, 60), ("date", 20, 40), ("Sat, 01 Jan 2000 00:00:00 GMT", 1, 60), ("abc", 1, 60)],
    ids=["a day", "date", "past", "abc"],
)
def test_how_long_a_registry_is_left_alone(place: Place, wanted: str, least: float, most: float) -> None:
    if wanted == "date":
        wanted = email.utils.formatdate(time.time() + 40, usegmt=True)
    place.proxy.once(answer(429, "TOOMANYREQUESTS", Retry_After=wanted), Kind.PATCH)
    waits = Waits()
    place.succeed(waits=waits)
    assert least <= max(waits.seconds) <= most


@kinds
@pytest.mark.parametrize("status", [500, 503])
def test_errors_of_the_registry_that_pass(place: Place, kind: Kind, status: int) -> None:
    place.proxy.once(answer(status), kind, times=2)
    assert place.succeed().retries == 2


@changing
@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, RegistryFailed)])
def test_errors_of_the_registry_that_stay(place: Place, kind: Kind, status: int, error: type[RegistryError]) -> None:
    place.proxy.always(answer(status, "OF_THE_TESTS"), kind)
    failed = place.fail(error)
    assert ("answer", f"{status} OF_THE_TESTS: of the tests") in failed.facts
    assert "5 attempts" in failed.summary


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (kind, status)
        for kind in _CHANGING
        for status in (400, 401, 403, 404, 405, 413, 507)
        if kind is not Kind.PATCH or status not in _BEGINS_ANEW
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else value,
)
def test_a_refusal_is_not_tried_again(place: Place, kind: Kind, status: int) -> None:
    place.proxy.always(answer(status, "OF_THE_TESTS"), kind)
    with pytest.raises(_REFUSALS.get(status, RegistryError)) as caught:
        place.push()
    assert ("answer", f"{status} OF_THE_TESTS: of the tests") in caught.value.facts
    assert caught.value.exit_code == 62
    # Each of the blobs may have been on its way, and have been sent in another manner.
    assert sum(one.status == status for one in place.proxy.seen if one.kind is kind) <= (
        2 if kind is Kind.PUT_MANIFEST else 8
    )
    place.proxy.relent()
    assert place.digest() == place.images.old.digest.hex
    place.succeed()


@pytest.mark.parametrize("status", _BEGINS_ANEW)
def test_a_registry_that_takes_no_parts(place: Place, status: int) -> None:
    place.proxy.always(answer(status, "UNSUPPORTED"), Kind.PATCH)
    place.succeed()


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_registry_that_does_not_say_what_it_has(place: Place, status: int) -> None:
    place.proxy.always(answer(status), Kind.HEAD_BLOB)
    place.push()
    assert place.push().uploaded.blobs == len(place.images.new.layers) + 1
    assert place.digest() == place.images.new.digest.hex


@kinds
@pytest.mark.parametrize("fault", [hang_up, lose_answer])
def test_a_connection_that_ends_without_an_answer(place: Place, kind: Kind, fault: Fault) -> None:
    place.proxy.once(fault, kind, times=2)
    place.succeed()


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("kind", [Kind.PATCH, Kind.PUT_BLOB, Kind.PUT_MANIFEST], ids=lambda kind: kind.value)
def test_a_connection_that_breaks_while_something_is_sent(place: Place, kind: Kind, at: str) -> None:
    large = 0 if kind is Kind.PUT_MANIFEST else _LARGE
    place.proxy.once(cut_body(PLACES[at]), kind, times=2, smallest=large)
    place.succeed()


@pytest.mark.parametrize("kind", [Kind.PATCH, Kind.PUT_BLOB], ids=lambda kind: kind.value)
def test_a_connection_that_always_breaks(place: Place, kind: Kind) -> None:
    place.proxy.once(cut_body(PLACES["one byte"]), kind, times=None, smallest=_LARGE)
    place.fail(RegistryUnreachable)


def test_a_registry_that_forgets_a_blob(place: Place) -> None:
    place.proxy.once(forget, Kind.PUT_BLOB)
    place.succeed()


def test_a_registry_that_forgets_all_blobs(place: Place) -> None:
    place.proxy.always(forget, Kind.PUT_BLOB)
    place.fail(BlobsUnknown)


def test_a_registry_that_claims_to_have_what_it_has_not(place: Place) -> None:
    place.proxy.always(claim, Kind.HEAD_BLOB)
    assert place.succeed().uploaded.blobs == len(place.images.new.layers) + 1


def test_a_mount_that_is_only_claimed(place: Place) -> None:
    def lie(exchange: Exchange) -> None:
        if "mount=" in exchange.path:
            exchange.answer(201, b"", {"Location": "/v2/x/blobs/y"})
        else:
            exchange.relay()

    place.proxy.always(lie, Kind.POST)
    place.push(mount_from="team/other")
    assert place.digest() == place.images.new.digest.hex


@pytest.mark.parametrize("kind", [Kind.PUT_BLOB, Kind.PUT_MANIFEST], ids=lambda kind: kind.value)
def test_a_registry_that_has_stored_something_else(place: Place, kind: Kind) -> None:
    place.proxy.always(say_instead(Docker_Content_Digest=_OTHER), kind)
    assert _OTHER in place.fail(UnexpectedAnswer).summary


def test_an_encoding_that_nobody_asked_for(place: Place) -> None:
    place.proxy.always(say_instead(Content_Encoding="gzip"), Kind.PUT_MANIFEST)
    place.fail(ManifestRefused)


def test_credentials_do_not_go_to_where_uploads_go_on(images: Images, tmp_path: Path) -> None:
    with (
        start_registry(tmp_path / "registry", login=ALICE_PAIR) as registry,
        FaultProxy(registry.host) as proxy,
        FaultProxy(registry.host) as elsewhere,
    ):
        proxy.always(send_elsewhere(elsewhere.host), Kind.POST)
        with pytest.raises(RegistryError) as caught:
            Place(registry=registry, proxy=proxy, images=images).push()
        assert caught.value.exit_code == 62
        assert {one.authorization for one in elsewhere.seen} == {None}
        assert any(one.authorization for one in proxy.seen)


def test_uploads_that_go_on_elsewhere(place: Place) -> None:
    with FaultProxy(place.registry.host) as elsewhere:
        place.proxy.always(send_elsewhere(elsewhere.host), Kind.POST)
        place.succeed()
        assert elsewhere.uploaded() >= sum(layer.descriptor.size for layer in place.images.new.layers)


@kinds
def test_a_registry_that_falls_silent(place: Place, kind: Kind) -> None:
    place.proxy.once(say_nothing, kind, times=None, smallest=_LARGE if kind is Kind.PUT_BLOB else 0)
    patience = replace(IMPATIENT, storing_s=0.25)
    place.fail(RegistryUnreachable, settings=RegistrySettings(patience=patience))


def test_a_slow_registry(place: Place) -> None:
    place.proxy.always(slow(1_000_000), *_ASKED)
    place.succeed()


@changing
def test_a_token_that_expires_on_the_way(images: Images, private: Place, tokens: TokenServer, kind: Kind) -> None:
    large = _LARGE if kind in (Kind.PATCH, Kind.PUT_BLOB) else 0
    private.proxy.once(expire, kind, smallest=large)
    asked = len(tokens.scopes)
    private.push()
    assert private.proxy.is_done
    # Uploads that go on beside each other learn of it at the same time.
    assert 2 <= len(tokens.scopes) - asked <= 5
    source = f"docker://{private.registry.host}/{private.name}:1"
    found = run_tool(
        "skopeo", "inspect", "--creds", ":".join(ALICE_PAIR), "--tls-verify=false", "--format", "{{.Digest}}", source
    )
    assert found.strip() == str(images.new.digest)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with TokenServer(tmp_path_factory.mktemp("tokens") / "keys", {":".join(ALICE_PAIR): ("team/",)}) as running:
        yield running


@pytest.fixture(scope="module")
def token_registry(tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with start_registry(tmp_path_factory.mktemp("private"), token_auth=tokens.settings()) as running:
        yield replace(running, login=ALICE_PAIR)


@pytest.fixture
def private(token_registry: Registry, images: Images) -> Iterator[Place]:
    """A repository that wants tokens."""
    with FaultProxy(token_registry.host) as proxy:
        yield Place(registry=token_registry, proxy=proxy, images=images)


def test_a_registry_that_wants_large_parts(place: Place) -> None:
    place.proxy.always(say_instead(OCI_Chunk_Min_Length="100000000"), Kind.POST)
    place.succeed()
    assert place.proxy.count(Kind.PATCH) == 0


def test_two_pushes_to_one_tag_leave_one_whole_image(place: Place) -> None:
    others = [threading.Thread(target=place.push, args=(image,)) for image in (place.images.old, place.images.new) * 2]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert place.digest() in (place.images.old.digest.hex, place.images.new.digest.hex)


def test_skopeo_reads_what_was_pushed_in_trouble(place: Place, tmp_path: Path) -> None:
    place.proxy.once(cut_body(PLACES["half"]), Kind.PATCH, Kind.PUT_BLOB, times=2, smallest=_LARGE)
    place.proxy.once(answer(503), Kind.PUT_MANIFEST)
    place.succeed()
    source = f"docker://{place.registry.host}/{place.name}:1"
    run_tool("skopeo", "copy", "--quiet", "--src-tls-verify=false", source, f"oci:{tmp_path / 'copied'}:1")
    index = json.loads((tmp_path / "copied/index.json").read_text())
    assert index["manifests"][0]["digest"] == str(place.images.new.digest)
