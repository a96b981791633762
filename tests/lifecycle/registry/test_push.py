"""Images on their way to a registry."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import InvalidValue, render_error
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import INDEX_TYPE
from lifecycle.oci.errors import BlobMismatch
from lifecycle.oci.image import Image
from lifecycle.registry.credentials import Login
from lifecycle.registry.errors import (
    AccessDenied,
    BlobsUnknown,
    LoginNeeded,
    LoginRefused,
    ManifestRefused,
    NoSuchImage,
    RateLimited,
    RedirectRefused,
    RegistryError,
    RegistryFailed,
    RegistryUnreachable,
    TooMuch,
    UnexpectedAnswer,
)
from lifecycle.registry.push import Amount, Uploaded, check_access, put_image, put_manifest, upload_blobs
from lifecycle.registry.settings import RegistrySettings
from tests.lifecycle.oci.images import file_layer, image_of, member, tar_layer
from tests.lifecycle.registry.fake_registry import (
    ALICE,
    ALICE_PAIR,
    IMPATIENT,
    Exchange,
    FakeRegistry,
    Hook,
    Waits,
    client_for,
)

# A large blob goes as a part and an end, a small one with the end.
HEAD, POST, PATCH = ("HEAD", "/blobs/"), ("POST", "/blobs/uploads/"), ("PATCH", "/blobs/uploads/")
PUT, MANIFEST = ("PUT", "/blobs/uploads/"), ("PUT", "/manifests/")
KINDS = [HEAD, POST, PATCH, PUT, MANIFEST]
# Nobody has certificates here, so those of the machine need not be read each time.
PLAIN = RegistrySettings(insecure=frozenset({"127.0.0.1"}))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A large layer and two small ones."""
    blobs = tmp_path_factory.mktemp("blobs")
    large = tar_layer(blobs, [(member("large"), os.urandom(400_000))])
    small = [file_layer(blobs, {f"{number}": os.urandom(1000).hex()}) for number in range(2)]
    # The same content twice is one blob.
    return image_of(large, *small, small[0])


@pytest.fixture
def single(image: Image) -> Image:
    """The large layer alone."""
    return image_of(image.layers[0])


def size_of(image: Image) -> int:
    return len(image.config_bytes) + sum({layer.path: layer.descriptor.size for layer in image.layers}.values())


def digest_of(image: Image) -> str:
    return str(image.layers[0].descriptor.digest)


def push(
    registry: FakeRegistry,
    image: Image,
    *names: str,
    login: Login | None = None,
    settings: RegistrySettings = PLAIN,
    waits: Waits | None = None,
    deadline: Deadline = NEVER,
    mount_from: tuple[str, ...] = (),
    on_progress: Callable[[int], object] | None = None,
) -> Uploaded:
    references = [Reference.parse(f"{registry.host}/{name}") for name in names or ("team/app:1",)]
    sources = [Reference.parse(name) for name in mount_from]
    client = client_for(login=login, settings=settings, waits=waits, deadline=deadline)
    try:
        done = upload_blobs(client, references[0], image, mount_from=sources, on_progress=on_progress)
        return done + put_image(client, references, image)
    finally:
        client.close()


def status(number: int, content: bytes = b"", /, **headers: str) -> Hook:
    return lambda exchange: exchange.answer(number, content, **headers)


def cut_after(size: int, *, is_kept: bool = True) -> Hook:
    """The connection breaks when so many bytes of an upload have come."""

    def hook(exchange: Exchange) -> bool:
        content = b"".join(exchange.pieces(size))
        if is_kept:
            exchange.registry.uploads[exchange.path.partition("?")[0].rpartition("/")[2]] += content
        return exchange.cut()

    return hook


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


@pytest.mark.parametrize("damage", [lambda b: b"x" + b[1:], lambda b: b[:-1], lambda b: b + b"x", lambda b: b""])
@pytest.mark.parametrize("size", [1000, 400_000])
def test_a_damaged_layer_never_arrives_whole(
    registry: FakeRegistry, tmp_path: Path, damage: Callable[[bytes], bytes], size: int
) -> None:
    image = image_of(tar_layer(tmp_path, [(member("a"), os.urandom(size))]))
    path = image.layers[0].path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BlobMismatch, match=path.name):
        push(registry, image)
    assert digest_of(image) not in registry.blobs
    assert all(len(content) < image.layers[0].descriptor.size for content in registry.uploads.values())
    assert not registry.manifests


def test_a_manifest_is_named_by_its_digest_where_there_is_no_tag(registry: FakeRegistry, image: Image) -> None:
    name = f"team/app@{image.digest}"
    push(registry, image, name)
    assert registry.paths("PUT")[-1] == f"/v2/team/app/manifests/{image.digest}"
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [image.descriptor.render()]}).encode()
    reference = Reference.parse(f"{registry.host}/team/app")
    assert put_manifest(client_for(settings=PLAIN), reference, index, INDEX_TYPE) == Digest.of(index)
    assert registry.manifests["team/app:latest"] == (index, INDEX_TYPE)


def test_a_digest_of_another_image_is_no_name(registry: FakeRegistry, image: Image) -> None:
    with pytest.raises(InvalidValue):
        push(registry, image, f"team/app:1@sha256:{'0' * 64}")


def test_a_layer_that_is_gone(registry: FakeRegistry, tmp_path: Path) -> None:
    image = image_of(file_layer(tmp_path, {"a": "b"}))
    image.layers[0].path.unlink()
    waits = Waits()
    with pytest.raises(FileNotFoundError, match=image.layers[0].path.name):
        push(registry, image, waits=waits)
    assert waits.seconds == []


def test_progress_is_the_size_of_all_blobs(registry: FakeRegistry, image: Image) -> None:
    registry.before("/blobs/uploads/", cut_after(100_000), method="PATCH")
    for _ in range(2):
        told: list[int] = []
        push(registry, image, on_progress=told.append)
        assert sum(told) == size_of(image)
        assert min(told) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [429, 503])
def test_what_passes_is_waited_for(registry: FakeRegistry, single: Image, kind: tuple[str, str], number: int) -> None:
    method, path = kind
    wanted = {"Retry_After": "7"} if number == 429 else {}
    registry.before(path, status(number, **wanted), status(number), method=method)
    waits = Waits()
    done = push(registry, single, waits=waits)
    assert (done.uploaded.blobs, done.retries) == (2, 2)
    assert set(waits.seconds) <= ({7, 2, 4} if number == 429 else {2, 4})
    assert_is_there(registry, single)


@pytest.mark.parametrize(("header", "least", "most"), [("0", 2, 2), ("abc", 2, 2), ("86400", 60, 60)])
def test_a_registry_is_left_alone_in_an_upload_as_long_as_it_wants(
    registry: FakeRegistry, single: Image, header: str, least: float, most: float
) -> None:
    registry.before("/blobs/uploads/", status(429, Retry_After=header), method="PATCH")
    waits = Waits()
    push(registry, single, waits=waits)
    assert len(waits.seconds) == 1
    assert least <= waits.seconds[0] <= most


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("number", "error"), [(429, RateLimited), (503, RegistryFailed)])
def test_what_does_not_pass_is_given_up(
    registry: FakeRegistry, single: Image, kind: tuple[str, str], number: int, error: type[RegistryError]
) -> None:
    method, path = kind
    asked: list[str] = []

    def refuse(exchange: Exchange) -> bool:
        if exchange.command != method:
            return False
        asked.append(exchange.path.partition("?")[0])
        return exchange.answer(number, b'{"errors":[{"code":"BUSY","message":"not now"}]}')

    registry.always(path, refuse)
    with pytest.raises(error) as caught:
        push(registry, single)
    assert caught.value.exit_code == 62
    assert "after 5 attempts" in caught.value.summary
    # Of one blob; the other is ended with it, wherever it is.
    assert 5 <= len(asked) <= 10
    if method != "HEAD":
        assert "BUSY: not now" in render_error(caught.value)
    assert not registry.manifests


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (400, UnexpectedAnswer),
        (401, LoginNeeded),
        (403, AccessDenied),
        (404, NoSuchImage),
        (405, UnexpectedAnswer),
        (413, TooMuch),
        (507, RegistryFailed),
    ],
)
def test_a_refusal_is_not_waited_for_and_its_words_are_quoted(
    registry: FakeRegistry, single: Image, kind: tuple[str, str], number: int, error: type[RegistryError]
) -> None:
    method, path = kind
    content = b'{"errors":[{"code":"DENIED","message":"not for you"}]}'
    registry.always(path, lambda exchange: exchange.command == method and exchange.answer(number, content))
    waits = Waits()
    if kind in (HEAD, PATCH) and number in (400, 403, 404, 405) and (kind, number) != (PATCH, 403):
        # What need not be allowed is done without.
        assert push(registry, single, waits=waits).uploaded.blobs == 2
        assert_is_there(registry, single)
    else:
        unlike = {(MANIFEST, 400): ManifestRefused, (MANIFEST, 405): ManifestRefused, (PUT, 404): UnexpectedAnswer}
        with pytest.raises(unlike.get((kind, number), error)) as caught:
            push(registry, single, waits=waits)
        assert isinstance(caught.value, RegistryError)
        assert (caught.value.exit_code, caught.value.status) == (62, number)
        if method != "HEAD":
            assert dict(caught.value.facts)["answer"] == f"{number} DENIED: not for you"
        assert not registry.manifests
    assert waits.seconds == []


@pytest.mark.parametrize("position", ["0", "1", "half", "last", "all"])
@pytest.mark.parametrize("is_kept", [True, False])
def test_an_upload_that_breaks_is_continued_where_it_broke(
    registry: FakeRegistry, single: Image, position: str, is_kept: bool
) -> None:
    size = single.layers[0].descriptor.size
    after = {"0": 0, "1": 1, "half": size // 2, "last": size - 1, "all": size}[position]
    registry.before("/blobs/uploads/", cut_after(after, is_kept=is_kept), method="PATCH")
    parts: list[str] = []

    def note(exchange: Exchange) -> bool:
        if (part := exchange.headers.get("Content-Range")) is not None:
            parts.append(part)
        return False

    registry.always("/blobs/uploads/", note)
    waits = Waits()
    assert push(registry, single, waits=waits).retries == 1
    assert waits.seconds == [2]
    assert_is_there(registry, single)
    is_continued = is_kept and 1 < after < size
    assert parts == ([f"{after}-{size - 1}"] if is_continued else [])


def test_an_upload_that_comes_forward_is_not_given_up(registry: FakeRegistry, tmp_path: Path) -> None:
    single = image_of(tar_layer(tmp_path, [(member("large"), os.urandom(800_000))]))
    registry.before("/blobs/uploads/", *[cut_after(65_536) for _ in range(7)], method="PATCH")
    waits = Waits()
    assert push(registry, single, waits=waits).retries == 7
    assert max(waits.seconds) <= 4
    assert_is_there(registry, single)


def test_a_registry_that_forgets_and_remembers_is_given_up(registry: FakeRegistry, single: Image) -> None:
    said = itertools.cycle(["0-99999", "0-0"])

    def status_of(exchange: Exchange) -> bool:
        return exchange.command == "GET" and exchange.answer(204, Range=next(said))

    registry.always("/blobs/uploads/", status_of)
    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "PATCH" and exchange.cut())
    registry.always("/blobs/uploads/", lambda exchange: bool(exchange.headers.get("Content-Range")) and exchange.cut())
    with pytest.raises(RegistryUnreachable):
        push(registry, single)


def test_an_upload_that_does_not_is(registry: FakeRegistry, single: Image) -> None:
    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "PATCH" and cut_after(1)(exchange))
    with pytest.raises(RegistryUnreachable) as caught:
        push(registry, single)
    assert (caught.value.was_connected, caught.value.exit_code) == (True, 62)
    assert not registry.manifests


@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_an_upload_in_one_piece_is_begun_anew(registry: FakeRegistry, single: Image, size: int) -> None:
    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "PATCH" and exchange.answer(405))
    registry.before("/blobs/uploads/", cut_after(size), method="PUT")
    registry.before("/blobs/uploads/", cut_after(size), method="PUT")
    assert push(registry, single).retries == 2
    assert_is_there(registry, single)


def test_an_answer_that_is_lost(registry: FakeRegistry, single: Image) -> None:
    """All has arrived, and is there when the registry is asked again."""

    def store(exchange: Exchange) -> bool:
        exchange.registry.blobs[digest_of(single)] = single.layers[0].path.read_bytes()
        # Only this one: another blob's upload may be under way.
        exchange.registry.uploads.pop(exchange.path.partition("?")[0].rpartition("/")[2], None)
        return exchange.cut()

    registry.before("/blobs/uploads/", lambda exchange: digest_of(single)[7:] in exchange.path and store(exchange))
    registry.hooks.insert(
        0, lambda exchange: exchange.command == "PUT" and digest_of(single)[7:] in exchange.path and store(exchange)
    )
    done = push(registry, single)
    assert (done.uploaded.blobs, done.present.blobs, done.retries) == (2, 0, 1)
    assert len(registry.paths("PATCH")) == 1
    assert_is_there(registry, single)


@pytest.mark.parametrize("said", ["0-99999999", "0-299999", "x", ""])
def test_a_registry_that_says_to_have_what_it_has_not(registry: FakeRegistry, single: Image, said: str) -> None:
    registry.before("/blobs/uploads/", cut_after(1000), method="PATCH")
    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "GET" and exchange.answer(204, Range=said))
    push(registry, single)
    assert_is_there(registry, single)


def test_parts_that_a_registry_finds_too_small_are_not_sent(registry: FakeRegistry, single: Image) -> None:
    names = iter(range(10))

    def begin(exchange: Exchange) -> bool:
        name = f"x-{next(names)}"
        exchange.registry.uploads[name] = bytearray()
        place = f"/v2/team/app/blobs/uploads/{name}"
        return exchange.answer(202, Location=place, OCI_Chunk_Min_Length="5000000")

    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "POST" and begin(exchange))
    push(registry, single)
    assert registry.paths("PATCH") == []
    assert_is_there(registry, single)


@pytest.mark.parametrize("form", ["{path}", "{url}{path}", "{path}?a=b%2Fc&d=", "{url}{path}?x"])
def test_an_upload_goes_on_where_the_registry_says(registry: FakeRegistry, single: Image, form: str) -> None:
    names = iter(range(10))

    def begin(exchange: Exchange) -> bool:
        name = f"here-{next(names)}"
        exchange.registry.uploads[name] = bytearray()
        path = f"/v2/team/app/blobs/uploads/{name}"
        return exchange.answer(202, Location=form.format(path=path, url=registry.url))

    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "POST" and begin(exchange))
    push(registry, single)
    assert_is_there(registry, single)
    if "a=b" in form:
        assert any("?a=b%2Fc&d=" in path for path in registry.paths("PATCH"))


@pytest.mark.parametrize("place", [None, "", "http://[", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_an_upload_that_goes_on_nowhere(registry: FakeRegistry, single: Image, place: str | None) -> None:
    headers = {} if place is None else {"Location": place}
    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "POST" and exchange.answer(202, **headers))
    with pytest.raises((UnexpectedAnswer, RedirectRefused)) as caught:
        push(registry, single)
    assert caught.value.exit_code == 62


def test_a_refusal_counts_that_comes_before_all_was_sent(registry: FakeRegistry, tmp_path: Path) -> None:
    """More than a connection holds: the rest of it finds nobody who takes it."""
    image = image_of(tar_layer(tmp_path, [(member("large"), os.urandom(20_000_000))]))

    def refuse(exchange: Exchange) -> bool:
        exchange.wfile.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        exchange.close_connection = True
        return True

    registry.before("/blobs/uploads/", refuse, method="PATCH")
    waits = Waits()
    with pytest.raises(TooMuch, match="the layer is larger than what the registry"):
        push(registry, image, waits=waits)
    assert waits.seconds == []


def test_credentials_stay_with_the_registry(registry: FakeRegistry, single: Image) -> None:
    registry.login = ALICE_PAIR
    with FakeRegistry() as storage:
        names = iter(range(10))

        def begin(exchange: Exchange) -> bool:
            if exchange.command != "POST" or exchange.authorization is None:
                return False
            name = f"x-{next(names)}"
            storage.uploads[name] = bytearray()
            return exchange.answer(202, Location=f"{storage.url}/v2/team/app/blobs/uploads/{name}?key=1")

        registry.always("/blobs/uploads/", begin)
        client = client_for(login=ALICE, settings=PLAIN)
        reference = Reference.parse(f"{registry.host}/team/app:1")
        assert upload_blobs(client, reference, single).uploaded.blobs == 2
        assert storage.blobs[digest_of(single)] == single.layers[0].path.read_bytes()
        assert set(storage.shown) == {None}
        # Nor does what that host asks for count.
        storage.login = ALICE_PAIR
        with pytest.raises(LoginRefused):
            upload_blobs(client, reference, image_of(single.layers[0], env=("A=b",)), is_trusted=False)
        assert set(storage.shown) == {None}


@pytest.mark.parametrize("realm", [None, "self"])
def test_credentials_are_shown_before_anything_is_sent(registry: FakeRegistry, image: Image, realm: str | None) -> None:
    registry.login, registry.realm = ALICE_PAIR, realm
    push(registry, image, login=ALICE)
    assert_is_there(registry, image)
    refused = [entry for entry, shown in zip(registry.requests, registry.shown, strict=True) if shown is None]
    assert {entry.partition(" ")[0] for entry in refused} == {"HEAD"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_expires_on_the_way_is_renewed_once(
    registry: FakeRegistry, single: Image, kind: tuple[str, str]
) -> None:
    registry.login, registry.realm = ALICE_PAIR, "self"
    method, path = kind

    def expire(exchange: Exchange) -> bool:
        exchange.registry.tokens.clear()
        return False

    client = client_for(login=ALICE, settings=PLAIN)
    reference = Reference.parse(f"{registry.host}/team/app:1")
    check_access(client, reference)
    registry.before(path, expire, method=method)
    assert upload_blobs(client, reference, single).retries == 0
    put_image(client, [reference], single)
    assert_is_there(registry, single)
    assert len([path for path in registry.paths() if path.startswith("/token")]) == 2


def test_a_token_that_is_never_good(registry: FakeRegistry, single: Image) -> None:
    registry.login, registry.realm = ALICE_PAIR, "self"
    registry.always("/blobs/uploads/", lambda exchange: bool(exchange.registry.tokens.clear()))
    with pytest.raises(LoginRefused) as caught:
        push(registry, single, login=ALICE)
    assert caught.value.exit_code == 62
    assert len(registry.paths("POST")) <= 4


def test_one_token_reads_where_a_blob_is_mounted_from_and_writes(registry: FakeRegistry, single: Image) -> None:
    registry.login, registry.realm = ALICE_PAIR, "self"
    registry.blobs[digest_of(single)] = single.layers[0].path.read_bytes()
    registry.elsewhere = {"team/base": {digest_of(single)}}
    done = push(registry, single, login=ALICE, mount_from=(f"{registry.host}/team/base",))
    assert (done.mounted.blobs, done.uploaded.blobs) == (1, 1)
    scopes = {token.partition("-")[2].partition("-")[2] for token in registry.tokens}
    assert scopes == {
        "repository:team/app:pull,push",
        "repository:team/app:pull,push+repository:team/base:pull",
    }


@pytest.mark.parametrize("number", [400, 401, 403, 404, 405, 429, 500])
def test_what_cannot_be_mounted_is_sent(registry: FakeRegistry, single: Image, number: int) -> None:
    content = b'{"errors":[{"code":"BLOB_UNKNOWN"}]}'
    registry.hooks.append(lambda exchange: "mount=" in exchange.path and exchange.answer(number, content))
    sources = (f"{registry.host}/team/base", f"{registry.host}/team/other")
    assert push(registry, single, mount_from=sources).uploaded.blobs == 2
    assert_is_there(registry, single)


def test_uploads_that_begin_instead_of_mounts_are_used_or_given_up(registry: FakeRegistry, single: Image) -> None:
    sources = (f"{registry.host}/team/base", f"{registry.host}/team/other")
    assert push(registry, single, mount_from=sources).uploaded.blobs == 2
    assert_is_there(registry, single)
    assert registry.uploads == {}
    assert all("mount=" in path for path in registry.paths("POST"))


OTHER = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/blobs/uploads/"), ("POST", "/blobs/uploads/"), ("PUT", "/manifests/")]
)
def test_a_registry_that_has_stored_something_else(
    registry: FakeRegistry, single: Image, method: str, path: str
) -> None:
    lie = status(201, Docker_Content_Digest=OTHER)
    registry.always(path, lambda exchange: exchange.command == method and lie(exchange))
    waits = Waits()
    with pytest.raises(UnexpectedAnswer, match=f"has stored .*{OTHER}"):
        push(registry, single, mount_from=(f"{registry.host}/team/base",), waits=waits)
    assert waits.seconds == []


@pytest.mark.parametrize("kind", ["HEAD", "PUT"])
def test_a_blob_that_is_not_there_although_the_registry_says_so_is_sent(
    registry: FakeRegistry, single: Image, kind: str
) -> None:
    size = str(single.layers[0].descriptor.size)
    lies = [
        status(200, Content_Length=size) if kind == "HEAD" else status(201, Docker_Content_Digest=digest_of(single))
    ]

    def lie(exchange: Exchange) -> bool:
        if lies and exchange.command == kind and digest_of(single)[7:] in exchange.path:
            return lies.pop()(exchange)
        return False

    registry.hooks.append(lie)
    push(registry, single)
    assert_is_there(registry, single)


def test_a_blob_that_is_lost_again(registry: FakeRegistry, single: Image) -> None:
    lie = status(201, Docker_Content_Digest=digest_of(single))
    registry.hooks.append(
        lambda exchange: exchange.command == "PUT" and digest_of(single)[7:] in exchange.path and lie(exchange)
    )
    with pytest.raises(BlobsUnknown, match="has lost layers") as caught:
        push(registry, single)
    assert caught.value.exit_code == 62
    assert len(registry.paths("PATCH")) == 2
    assert not registry.manifests


def test_a_blob_of_another_size_is_not_the_same(registry: FakeRegistry, single: Image) -> None:
    registry.before("/blobs/", status(200, Content_Length="5"), status(200, Content_Length="5"), method="HEAD")
    assert push(registry, single).uploaded.blobs == 2


def test_an_upload_is_sent_on(registry: FakeRegistry, single: Image) -> None:
    with FakeRegistry() as other:
        registry.always("/v2/", lambda exchange: exchange.answer(307, Location=f"{other.url}{exchange.path}"))
        push(registry, single)
        assert_is_there(other, single)


@pytest.mark.parametrize("at", ["PATCH", "PUT"])
def test_a_registry_that_falls_silent(registry: FakeRegistry, single: Image, at: str) -> None:
    def stall(exchange: Exchange) -> bool:
        time.sleep(1)
        return exchange.cut()

    registry.before("/blobs/uploads/", stall, method=at)
    settings = replace(PLAIN, patience=IMPATIENT)
    assert push(registry, single, settings=settings).retries == 1
    assert_is_there(registry, single)


def test_a_registry_that_takes_nothing_more(registry: FakeRegistry, tmp_path: Path) -> None:
    image = image_of(tar_layer(tmp_path, [(member("large"), os.urandom(20_000_000))]))

    def stall(exchange: Exchange) -> bool:
        time.sleep(1.5)
        return exchange.cut()

    registry.before("/blobs/uploads/", stall, method="PATCH")
    client = client_for(settings=replace(PLAIN, patience=replace(IMPATIENT, storing_s=20)))
    lines: list[str] = []
    client.on_wait = lines.append
    assert upload_blobs(client, Reference.parse(f"{registry.host}/team/app:1"), image).retries == 1
    assert lines == [f"{registry.host}: nothing was taken for 0.25 seconds; trying again in 2 seconds"]


def test_the_time_of_the_build_ends_an_upload(registry: FakeRegistry, single: Image) -> None:
    registry.always("/blobs/uploads/", lambda exchange: exchange.command == "PATCH" and bool(time.sleep(30)))
    since = time.monotonic()
    with pytest.raises(CommandTimeout):
        push(registry, single, deadline=Deadline.after(0.4))
    assert time.monotonic() - since < 20
    assert not registry.manifests


def test_whether_a_repository_may_be_written_is_known_before(registry: FakeRegistry) -> None:
    registry.login = ALICE_PAIR
    reference = Reference.parse(f"{registry.host}/team/app:1")
    check_access(client_for(login=ALICE, settings=PLAIN), reference)
    assert registry.uploads == {}
    with pytest.raises(LoginNeeded) as needed:
        check_access(client_for(settings=PLAIN), reference)
    registry.always("/blobs/uploads/", status(403, b'{"errors":[{"code":"DENIED"}]}'))
    with pytest.raises(AccessDenied) as denied:
        check_access(client_for(login=ALICE, settings=PLAIN), reference)
    assert needed.value.exit_code == denied.value.exit_code == 62
    assert "may write to" in str(denied.value.hint)
