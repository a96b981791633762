"""Questions to a registry that refuses, fails, sends elsewhere and lies."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Cancellation, Deadline
from lifecycle.cnb.errors import render_error
from lifecycle.cnb.reference import Reference
from lifecycle.registry.credentials import Login
from lifecycle.registry.errors import (
    AccessDenied,
    CertificateRefused,
    LoginNeeded,
    LoginRefused,
    NoSuchImage,
    RateLimited,
    RealmRefused,
    RedirectRefused,
    RegistryError,
    RegistryFailed,
    RegistryUnreachable,
    UnexpectedAnswer,
)
from lifecycle.registry.question import Question
from lifecycle.registry.settings import RegistrySettings
from tests.lifecycle.registry.fake_registry import (
    ALICE,
    ALICE_PAIR,
    IMPATIENT,
    Exchange,
    FakeRegistry,
    Flood,
    Hook,
    Waits,
    basic,
    client_for,
)

MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'


@pytest.fixture
def registry(registry: FakeRegistry) -> FakeRegistry:
    """With one manifest in it."""
    registry.add_manifest(MANIFEST)
    return registry


def ask(
    registry: FakeRegistry,
    *,
    name: str = "team/app",
    login: Login | None = None,
    settings: RegistrySettings | None = None,
    waits: Waits | None = None,
    path: str = "manifests/1",
    deadline: Deadline = NEVER,
    host: str | None = None,
    attempts: int = 5,
) -> bytes:
    reference = Reference.parse(f"{host or registry.host}/{name}")
    client = client_for(login=login, settings=settings, waits=waits, deadline=deadline)
    try:
        question = Question(method="GET", path=path, limit=1 << 20, attempts=attempts)
        return client.repository(reference).ask(question, image=str(reference)).content
    finally:
        client.close()


def status(number: int, content: bytes = b"", /, **headers: str) -> Hook:
    return lambda exchange: exchange.answer(number, content, **headers)


def test_a_registry_that_wants_nothing(registry: FakeRegistry) -> None:
    assert ask(registry, login=ALICE) == MANIFEST
    # The credentials are for who asks for them.
    assert set(registry.shown) == {None}


@pytest.mark.parametrize("realm", [None, "self"])
def test_credentials_are_shown_when_asked_for(registry: FakeRegistry, realm: str | None) -> None:
    registry.login, registry.realm = ALICE_PAIR, realm
    assert ask(registry, login=ALICE) == MANIFEST
    assert registry.shown[0] is None


def test_a_token_is_asked_for_once_and_for_what_is_wanted(registry: FakeRegistry) -> None:
    registry.login, registry.realm = ALICE_PAIR, "self"
    client = client_for(login=ALICE)
    repository = client.repository(Reference.parse(f"{registry.host}/team/app"))
    for actions in (("pull",), ("pull",), ("pull", "push"), ("pull",)):
        question = Question(method="GET", path="manifests/1", actions=actions, limit=1000)
        assert repository.ask(question, image="x").content == MANIFEST
    assert registry.tokens == [
        "token-0-repository:team/app:pull",
        "token-1-repository:team/app:pull,push",
    ]
    asked = [path for path in registry.paths() if path.startswith("/token")]
    assert all("service=tests" in path and "account=alice" in path for path in asked)


def test_a_token_that_is_no_longer_valid_is_renewed_once(registry: FakeRegistry) -> None:
    registry.login, registry.realm = ALICE_PAIR, "self"
    client = client_for(login=ALICE)
    repository = client.repository(Reference.parse(f"{registry.host}/team/app"))
    question = Question(method="GET", path="manifests/1", limit=1000)
    repository.ask(question, image="x")
    registry.tokens = ["another"]
    assert repository.ask(question, image="x").content == MANIFEST
    registry.always(
        "/manifests/",
        lambda exchange: exchange.answer(401, b"", WWW_Authenticate=f'Bearer realm="{registry.url}/token"'),
    )
    before = len(registry.requests)
    with pytest.raises(LoginRefused):
        repository.ask(question, image="x")
    assert len(registry.requests) - before <= 4


def test_a_token_that_ends_before_it_was_used_is_renewed(registry: FakeRegistry) -> None:
    registry.login, registry.realm = ALICE_PAIR, "self"
    to_end = ["token-0-repository:team/app:pull"]

    def end(exchange: Exchange) -> bool:
        if to_end and exchange.authorization == f"Bearer {to_end[0]}":
            registry.tokens.remove(to_end.pop())
        return False

    registry.always("/manifests/", end)
    assert ask(registry, login=ALICE) == MANIFEST
    assert registry.tokens == ["token-1-repository:team/app:pull"]


@pytest.mark.parametrize(
    "answer", [b'{"access_token":"t"}', b'{"token":"t","expires_in":0}', b'{"token":"t","expires_in":"x"}']
)
def test_forms_of_tokens(registry: FakeRegistry, answer: bytes) -> None:
    registry.realm = "self"
    registry.tokens = ["t"]
    registry.always("/token", lambda exchange: exchange.answer(200, answer))
    assert ask(registry) == MANIFEST
    assert registry.shown[-1] == "Bearer t"


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b"<html>", b'{"token":5}', b'{"token":"a\\nb"}', b"{" * 100_000])
def test_a_token_server_that_gives_no_token(registry: FakeRegistry, answer: bytes) -> None:
    registry.realm = "self"
    registry.always("/token", lambda exchange: exchange.answer(200, answer))
    with pytest.raises(RegistryUnreachable, match="does not answer with a token"):
        ask(registry)


def test_an_identity_token_is_exchanged(registry: FakeRegistry) -> None:
    registry.realm = "self"
    registry.tokens = ["t"]
    bodies: list[bytes] = []

    def exchange_token(exchange: Exchange) -> bool:
        bodies.append(exchange.body)
        return exchange.answer(200, b'{"access_token":"t"}')

    registry.always("/token", exchange_token)
    assert ask(registry, login=Login(origin="x", identity_token="the identity")) == MANIFEST
    assert registry.paths("POST") == ["/token"]
    assert bodies == [
        b"grant_type=refresh_token&refresh_token=the+identity&client_id=pybuild&service=tests&"
        b"scope=repository%3Ateam%2Fapp%3Apull"
    ]


def test_a_registry_token_is_shown_at_once(registry: FakeRegistry) -> None:
    registry.realm = "self"
    registry.tokens = ["t"]
    assert ask(registry, login=Login(origin="x", registry_token="t")) == MANIFEST
    assert registry.paths() == ["/v2/team/app/manifests/1"]


@pytest.mark.parametrize("realm", [None, "self"])
def test_no_credentials(registry: FakeRegistry, realm: str | None) -> None:
    registry.login, registry.realm = ALICE_PAIR, realm
    with pytest.raises(LoginNeeded) as caught:
        ask(registry)
    text = render_error(caught.value)
    assert "wants credentials, and there are none for it" in text
    assert f"none for {registry.host} in `config.json`" in text
    assert f"docker login {registry.host}" in text


@pytest.mark.parametrize("realm", [None, "self"])
def test_wrong_credentials(registry: FakeRegistry, realm: str | None) -> None:
    registry.login, registry.realm = ("alice", "another"), realm
    with pytest.raises(LoginRefused) as caught:
        ask(registry, login=ALICE)
    text = render_error(caught.value)
    assert "refuses the credentials from `config.json`" in text
    assert "of `alice` from `config.json`" in text
    assert "wonder land" not in text


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (400, UnexpectedAnswer),
        (403, AccessDenied),
        (404, NoSuchImage),
        (405, UnexpectedAnswer),
        (413, UnexpectedAnswer),
        (418, UnexpectedAnswer),
        (501, RegistryFailed),
        (507, RegistryFailed),
    ],
)
def test_a_refusal_is_not_tried_again_and_its_words_are_quoted(
    registry: FakeRegistry, number: int, error: type[RegistryError]
) -> None:
    content = b'{"errors":[{"code":"DENIED","message":"not for \\u001b[31myou","detail":{}}]}'
    registry.always("/manifests/", status(number, content))
    waits = Waits()
    with pytest.raises(error) as caught:
        ask(registry, waits=waits)
    assert waits.seconds == []
    facts = dict(caught.value.facts)
    assert facts["answer"] == f"{number} DENIED: not for \\x1b[31myou"
    assert facts["asked"] == f"GET {registry.url}/v2/team/app/manifests/1"


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b'{"errors":[]}', b'{"errors":[5]}', b'{"errors":{"a":1}}', b"\xff", b"[" * 60_000],
)
def test_words_that_cannot_be_read_are_left_out(registry: FakeRegistry, content: bytes) -> None:
    registry.always("/manifests/", status(403, content))
    with pytest.raises(AccessDenied) as caught:
        ask(registry)
    assert dict(caught.value.facts)["answer"] == "403"


@pytest.mark.parametrize("number", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_waited_for(registry: FakeRegistry, number: int) -> None:
    registry.before("/manifests/", status(number), status(number))
    waits = Waits()
    assert ask(registry, waits=waits) == MANIFEST
    assert waits.seconds == [2, 4]


def soon(seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        (" 7 ", 7, 7),
        ("0", 2, 2),
        ("86400", 60, 60),
        ("9" * 400, 60, 60),
        ("in 30", 20, 30),
        ("in -30", 2, 2),
        ("in 86400", 60, 60),
        ("abc", 2, 2),
        ("-5", 2, 2),
        ("1e3", 2, 2),
        ("", 2, 2),
        ("Mon, 99 Foo 2026", 2, 2),
    ],
)
def test_a_registry_is_left_alone_as_long_as_it_wants_but_not_for_ever(
    registry: FakeRegistry, header: str, least: float, most: float
) -> None:
    if header.startswith("in "):
        header = soon(float(header.removeprefix("in ")))
    registry.before("/manifests/", status(429, Retry_After=header))
    waits = Waits()
    assert ask(registry, waits=waits) == MANIFEST
    assert len(waits.seconds) == 1
    assert least <= waits.seconds[0] <= most


def test_a_rate_limit_that_does_not_end(registry: FakeRegistry) -> None:
    registry.always("/manifests/", status(429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}'))
    waits = Waits()
    with pytest.raises(RateLimited, match=r"rate limited by the registry .*, after 5 attempts") as caught:
        ask(registry, waits=waits)
    assert waits.seconds == [2, 4, 8, 16]
    assert len(registry.paths()) == 5
    assert "TOOMANYREQUESTS: slow down" in render_error(caught.value)


def test_a_registry_that_keeps_failing(registry: FakeRegistry) -> None:
    registry.always("/manifests/", status(503))
    with pytest.raises(RegistryFailed, match="answers with status 503, after 5 attempts"):
        ask(registry)


def test_who_waits_is_told_why(registry: FakeRegistry) -> None:
    registry.before("/manifests/", status(429, Retry_After="30"), lambda exchange: exchange.cut())
    client = client_for()
    lines: list[str] = []
    client.on_wait = lines.append
    reference = Reference.parse(f"{registry.host}/team/app")
    client.repository(reference).ask(Question(method="GET", path="manifests/1", limit=1000), image="x")
    assert lines == [
        f"{registry.host} answers with status 429; trying again in 30 seconds",
        f"{registry.host}: it ended without an answer; trying again in 4 seconds",
    ]


def test_docker_hub_is_asked_where_it_is(registry: FakeRegistry) -> None:
    registry.hooks.append(lambda exchange: exchange.answer(502))
    settings = RegistrySettings(proxies={"HTTPS_PROXY": registry.url})
    repository = client_for(settings=settings).repository(Reference.parse("python:3.11"))
    question = Question(method="GET", path="manifests/3.11", limit=1000, attempts=1)
    with pytest.raises(RegistryUnreachable):
        repository.ask(question, image="python:3.11")
    assert registry.requests == ["CONNECT registry-1.docker.io:443"]


def test_a_token_server_that_fails_for_a_moment(registry: FakeRegistry) -> None:
    registry.realm = "self"
    registry.before("/token", status(503), status(429))
    assert ask(registry) == MANIFEST


def test_the_time_of_the_build_ends_the_waiting(registry: FakeRegistry) -> None:
    registry.always("/manifests/", status(429, Retry_After="30"))
    with pytest.raises(CommandTimeout):
        ask(registry, deadline=Deadline.after(5))


@pytest.mark.parametrize("at", ["before", "headers", "middle"])
def test_a_connection_that_breaks_is_made_anew(registry: FakeRegistry, at: str) -> None:
    def break_off(exchange: Exchange) -> bool:
        if at != "before":
            exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        if at == "middle":
            exchange.wfile.write(b"ngth: 100\r\n\r\n{}")
        return exchange.cut()

    registry.before("/manifests/", break_off, break_off)
    assert ask(registry) == MANIFEST


def test_nobody_is_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
    registry = FakeRegistry()
    waits = Waits()
    with pytest.raises(RegistryUnreachable) as caught:
        ask(registry, host=host, waits=waits)
    assert f"the registry {host} cannot be reached: connection refused" in caught.value.summary
    assert len(waits.seconds) == 1


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(
        RegistryUnreachable, match=r"the registry nowhere.invalid cannot be reached: its name is not known"
    ):
        ask(FakeRegistry(), host="nowhere.invalid")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100_000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"f" * 50_000),
    ],
)
def test_an_answer_without_end_is_given_up(registry: FakeRegistry, first: bytes, again: bytes) -> None:
    def trickle(exchange: Exchange) -> bool:
        try:
            exchange.wfile.write(first)
            for _ in range(400):
                time.sleep(0.02)
                exchange.wfile.write(again)
        except OSError:
            pass
        exchange.close_connection = True
        return True

    registry.always("/manifests/", trickle)
    started = time.monotonic()
    with pytest.raises(RegistryUnreachable):
        ask(registry, attempts=2, settings=RegistrySettings(patience=replace(IMPATIENT, idle_s=0.15, document_s=0.2)))
    assert time.monotonic() - started < 2


def test_a_body_that_is_too_large_is_not_read(registry: FakeRegistry) -> None:
    for number, error in ((200, RegistryUnreachable), (404, NoSuchImage)):
        flood = Flood(status=number)
        registry.hooks.clear()
        registry.always("/manifests/", flood)
        with pytest.raises(error):
            ask(registry)
        assert all(sent < 1 << 25 for sent in flood.sent)


def test_an_encoding_that_nobody_asked_for_is_refused(registry: FakeRegistry) -> None:
    registry.always("/manifests/", status(200, b"\x1f\x8b", Content_Encoding="gzip"))
    with pytest.raises(UnexpectedAnswer, match="sends it in the encoding `gzip`"):
        ask(registry)


@pytest.mark.parametrize("number", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_credentials(registry: FakeRegistry, number: int) -> None:
    registry.login = ALICE_PAIR
    with FakeRegistry(address="127.0.0.2") as storage:
        storage.always("/signed", status(200, b"from storage"))
        moved = f"{storage.url}/signed?X-Amz-Signature=secret"
        registry.always(
            "/blobs/", lambda exchange: exchange.authorization is not None and exchange.answer(number, Location=moved)
        )
        assert ask(registry, login=ALICE, path="blobs/x") == b"from storage"
        assert storage.shown == [None]
        assert registry.shown[-1] == basic(ALICE_PAIR)


def test_a_redirect_within_the_registry_keeps_the_credentials(registry: FakeRegistry) -> None:
    registry.login = ALICE_PAIR
    registry.before("/manifests/", status(401, WWW_Authenticate='Basic realm="x"'), status(307, Location="other/1"))
    registry.always("/other/1", status(200, b"moved"))
    assert ask(registry, login=ALICE) == b"moved"
    assert registry.shown[-1] == basic(ALICE_PAIR)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/?a=secret", "is at a link-local or reserved address"),
        ("http://0.0.0.0/x", "is at a link-local or reserved address"),
        ("http://[::]/x", "is at a link-local or reserved address"),
        ("file:///etc/passwd", "is not a URL of HTTP"),
        ("ftp://127.0.0.1/x", "is not a URL of HTTP"),
        ("http://[::1/x", "is not a URL of HTTP"),
        ("http://a:99999/x", "is not a URL of HTTP"),
        ("1", "is the end of more than 5 redirects"),
    ],
)
def test_a_redirect_to_where_nobody_should_be_sent_is_refused(registry: FakeRegistry, target: str, reason: str) -> None:
    registry.always("/manifests/", status(302, Location=target))
    with pytest.raises(RedirectRefused) as caught:
        ask(registry)
    assert reason in caught.value.summary
    assert "secret" not in render_error(caught.value)


@pytest.fixture
def elsewhere(registry: FakeRegistry) -> RegistrySettings:
    """The registry as one that is far away: behind a proxy, which is the registry itself."""

    def forward(exchange: Exchange) -> bool:
        if exchange.command == "CONNECT":
            return exchange.answer(405)
        exchange.path = urlsplit(exchange.path).path if exchange.path.endswith("/1") else exchange.path
        return False

    registry.hooks.append(forward)
    return RegistrySettings(
        proxies={"HTTP_PROXY": registry.url, "HTTPS_PROXY": registry.url},
        insecure=frozenset({"registry.example.org"}),
    )


def test_a_proxy_is_used(registry: FakeRegistry, elsewhere: RegistrySettings) -> None:
    assert ask(registry, settings=elsewhere, host="registry.example.org") == MANIFEST
    assert "GET http://registry.example.org/v2/team/app/manifests/1" in registry.requests


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_a_registry_far_away_sends_nobody_to_places_near_by(
    registry: FakeRegistry, elsewhere: RegistrySettings, host: str
) -> None:
    with FakeRegistry() as guard:
        registry.always("/manifests/", status(302, Location=f"http://{host}:{guard.port}/"))
        with pytest.raises(RedirectRefused, match="address"):
            ask(registry, settings=elsewhere, host="registry.example.org")
        registry.hooks.pop()
        registry.realm = f"http://{host}:{guard.port}/token"
        with pytest.raises(RealmRefused, match=r"sends to the token server `http://.*/token`, which is at .* address"):
            ask(registry, settings=elsewhere, host="registry.example.org")
        assert guard.requests == []


def resolve_to_loopback(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a name be that of 127.0.0.1."""
    resolve = socket.getaddrinfo

    def changed(host: str, *arguments: object, **options: object) -> object:
        return resolve("127.0.0.1" if host == name else host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", changed)


def test_a_name_that_turns_out_to_be_near_by_is_refused(
    registry: FakeRegistry, elsewhere: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to_loopback(monkeypatch, "rebound.example.org")
    settings = RegistrySettings(
        proxies={**elsewhere.proxies, "NO_PROXY": "rebound.example.org"},
        insecure=elsewhere.insecure,
    )
    with FakeRegistry() as guard:
        registry.realm = f"http://rebound.example.org:{guard.port}/token"
        with pytest.raises(RealmRefused, match="is at this machine's address"):
            ask(registry, settings=settings, host="registry.example.org")
        assert guard.requests == []


@pytest.mark.parametrize(
    ("realm", "reason"),
    [
        ("http://attacker.example.net/token", "may not have the credentials: its domain is another one"),
        ("http://registry.example.org.attacker.net/token", "may not have the credentials"),
        ("http://user:pw@registry.example.org/token", "has a user name in it"),
        ("file:///etc/passwd", "is not a URL of HTTP"),
        ("/token", "is not a URL of HTTP"),
        ("http://[::1/token", "is not a URL of HTTP"),
        ("", "is not a URL of HTTP"),
    ],
)
def test_credentials_go_to_no_other_place(
    registry: FakeRegistry, elsewhere: RegistrySettings, realm: str, reason: str
) -> None:
    registry.always("/manifests/", status(401, WWW_Authenticate=f'Bearer realm="{realm}"'))
    with pytest.raises(RealmRefused, match=reason) as caught:
        ask(registry, settings=elsewhere, login=ALICE, host="registry.example.org")
    assert set(registry.shown) == {None}
    assert "pw" not in caught.value.realm


@pytest.mark.parametrize("host", ["auth.example.org", "example.org", "registry.example.org:8080"])
def test_a_token_server_of_the_same_domain_gets_the_credentials(
    registry: FakeRegistry, elsewhere: RegistrySettings, host: str
) -> None:
    registry.login = ALICE_PAIR
    registry.realm = f"http://{host}/token"

    def forward(exchange: Exchange) -> bool:
        exchange.path = exchange.path.removeprefix(f"http://{host}")
        return False

    registry.hooks.append(forward)
    assert ask(registry, settings=elsewhere, login=ALICE, host="registry.example.org") == MANIFEST


def test_a_token_server_of_another_domain_can_be_allowed(registry: FakeRegistry, elsewhere: RegistrySettings) -> None:
    registry.login = ALICE_PAIR
    registry.realm = "http://sso.example.net/token"

    def forward(exchange: Exchange) -> bool:
        exchange.path = exchange.path.removeprefix("http://sso.example.net")
        return False

    registry.hooks.append(forward)
    with pytest.raises(RealmRefused) as caught:
        ask(registry, settings=elsewhere, login=ALICE, host="registry.example.org")
    assert "PYBUILD_TOKEN_SERVERS" in (caught.value.hint or "")
    allowed = RegistrySettings(
        proxies=elsewhere.proxies,
        insecure=elsewhere.insecure,
        token_servers=frozenset({"sso.example.net"}),
    )
    assert ask(registry, settings=allowed, login=ALICE, host="registry.example.org") == MANIFEST


def test_a_token_server_that_sends_on_is_refused(registry: FakeRegistry) -> None:
    registry.realm = "self"
    with FakeRegistry() as guard:
        registry.always("/token", status(302, Location=guard.url))
        with pytest.raises(RealmRefused, match="sends on to another place"):
            ask(registry, login=ALICE)
        assert guard.requests == []


def test_plain_http_is_for_this_machine_and_for_what_is_named(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to_loopback(monkeypatch, "far.example.org")
    host = f"far.example.org:{registry.port}"
    with pytest.raises(CertificateRefused, match="no connection with TLS") as caught:
        ask(registry, host=host)
    assert registry.requests == []
    assert f"--insecure-registry {host}" in (caught.value.hint or "")
    for name in (host, "far.example.org"):
        assert ask(registry, host=host, settings=RegistrySettings(insecure=frozenset({name}))) == MANIFEST


def test_netrc_is_not_read(registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("default login alice password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    registry.login = ("alice", "secret")
    with pytest.raises(LoginNeeded):
        ask(registry)
    assert set(registry.shown) == {None}


def test_a_registry_with_an_address_of_six(registry: FakeRegistry) -> None:
    try:
        started = FakeRegistry(address="::1").__enter__()
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        started.add_manifest(MANIFEST)
        assert ask(started) == MANIFEST
    finally:
        started.__exit__(None, None, None)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named_without_its_password(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{unused.getsockname()[1]}"
    insecure = frozenset({"registry.example.org"} if scheme == "http" else ())
    settings = RegistrySettings(proxies={"ALL_PROXY": f"http://me:secret@{proxy}"}, insecure=insecure)
    with pytest.raises(RegistryUnreachable) as caught:
        ask(FakeRegistry(), host="registry.example.org", settings=settings)
    text = render_error(caught.value)
    assert f"cannot be reached: connection refused (through the proxy http://{proxy})" in text
    assert "secret" not in text


def test_a_proxy_gets_its_credentials_and_the_registry_does_not(
    registry: FakeRegistry, elsewhere: RegistrySettings
) -> None:
    url = registry.url.replace("http://", "http://me:secret@")
    settings = RegistrySettings(proxies={"HTTP_PROXY": url, "HTTPS_PROXY": url}, insecure=elsewhere.insecure)
    shown: list[str | None] = []
    registry.hooks.insert(0, lambda exchange: bool(shown.append(exchange.headers.get("Proxy-Authorization"))))
    assert ask(registry, settings=settings, host="registry.example.org") == MANIFEST
    assert set(shown) == {basic(("me", "secret"))}
    assert set(registry.shown) == {None}


def test_a_proxy_that_refuses(registry: FakeRegistry) -> None:
    registry.hooks.append(lambda exchange: exchange.command == "CONNECT" and exchange.answer(407))
    settings = RegistrySettings(proxies={"HTTPS_PROXY": registry.url})
    with pytest.raises(RegistryUnreachable, match=r"407 .*\(through the proxy http://"):
        ask(registry, settings=settings, host="registry.example.org")


def test_a_proxy_of_another_kind_is_named() -> None:
    settings = RegistrySettings(proxies={"ALL_PROXY": "socks5://proxy:1080"})
    with pytest.raises(RegistryUnreachable, match="proxies of the kind `socks5` are not supported"):
        ask(FakeRegistry(), settings=settings, host="registry.example.org")


def test_certificates_that_cannot_be_read_are_named(registry: FakeRegistry, tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    with pytest.raises(CertificateRefused, match=f"`{bad}` cannot be used: "):
        ask(registry, settings=RegistrySettings(ca_bundle=bad))
    directory = tmp_path / "certs.d" / registry.host
    directory.mkdir(parents=True)
    (directory / "client.cert").write_text("no certificate")
    with pytest.raises(CertificateRefused, match=r"client\.cert` cannot be used: "):
        ask(registry, settings=RegistrySettings(certificate_dirs=(tmp_path / "absent", tmp_path / "certs.d")))


def test_the_time_of_the_build_ends_an_answer_that_does_not_come(registry: FakeRegistry) -> None:
    released = threading.Event()
    registry.always("/manifests/", lambda exchange: released.wait(20) and False)
    started = time.monotonic()
    try:
        with pytest.raises(CommandTimeout):
            ask(registry, deadline=Deadline(at=started + 0.5))
    finally:
        released.set()
    assert time.monotonic() - started < 5


def test_who_cancels_ends_a_handshake_that_does_not_come() -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = Reference.parse(f"127.0.0.1:{silent.getsockname()[1]}/team/app")
        client = client_for(deadline=Deadline(cancellation=cancellation))
        try:
            with pytest.raises(CommandTimeout):
                client.repository(name).ask(Question(method="GET", path="manifests/1", limit=1 << 20), image=str(name))
        finally:
            client.close()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_who_cancels_ends_an_answer_that_does_not_come(registry: FakeRegistry, when: str) -> None:
    released, asked, cancellation = threading.Event(), threading.Event(), Cancellation()

    def stall(exchange: Exchange) -> bool:
        asked.set()
        return released.wait(20) and False

    registry.always("/manifests/", stall)

    def cancel_when_asked() -> None:
        assert asked.wait(20)
        cancellation.cancel()

    canceller = threading.Thread(target=cancel_when_asked)
    if when == "before":
        cancellation.cancel()
    else:
        canceller.start()
    started = time.monotonic()
    try:
        with pytest.raises(CommandTimeout):
            ask(registry, deadline=Deadline(cancellation=cancellation))
    finally:
        released.set()
    assert time.monotonic() - started < 5
    assert asked.is_set() is (when == "meanwhile")
