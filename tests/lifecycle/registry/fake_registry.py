"""A registry on 127.0.0.1 that serves and takes images, and lies, stalls and breaks off where the test says so."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.oci.descriptor import MANIFEST_TYPE
from lifecycle.oci.image import Image
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.credentials import Found, Login
from lifecycle.registry.settings import Patience, RegistrySettings
from tests.loopback import LoopbackServer, QuietHandler

# For what must be given up; a busy machine may need longer for all else.
IMPATIENT = Patience(connect_s=2, idle_s=0.25, document_s=0.4, storing_s=0.4, window_s=0.3, window_bytes=1000)

Hook = Callable[["Exchange"], bool]
"""Answers a request, or returns False to leave it to the registry."""


class Exchange(QuietHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    registry: FakeRegistry
    body = b""
    unread = 0
    """Bytes of the body that nobody has read."""

    def handle_one_request(self) -> None:
        # As registries do it that do not speak TLS: the beginning of a handshake gets words that are none.
        if self.rfile.peek(1)[:1] == b"\x16":  # type: ignore[attr-defined]  # a buffered reader
            self.wfile.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            self.close_connection = True
            return
        super().handle_one_request()

    def do_HEAD(self) -> None:
        self.registry.handle(self)

    def do_GET(self) -> None:
        self.registry.handle(self)

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.registry.handle(self)

    def do_PATCH(self) -> None:
        self.unread = int(self.headers["Content-Length"])
        self.registry.handle(self)

    def do_PUT(self) -> None:
        self.do_PATCH()

    def do_DELETE(self) -> None:
        self.registry.handle(self)

    def pieces(self, limit: int | None = None) -> Iterator[bytes]:
        """The body as it comes, or its first `limit` bytes."""
        remaining = self.unread if limit is None else min(self.unread, limit)
        while remaining and (piece := self.rfile.read1(min(remaining, 1 << 16))):
            remaining -= len(piece)
            self.unread -= len(piece)
            yield piece

    def do_CONNECT(self) -> None:
        self.registry.handle(self)

    @property
    def authorization(self) -> str | None:
        return self.headers.get("Authorization")

    def answer(self, status: int, content: bytes = b"", /, **headers: str) -> bool:
        """A whole answer; True. `_` in names of headers stands for `-`."""
        for _ in self.pieces():
            """As most servers do: what comes after it is the next request."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return True

    def cut(self) -> bool:
        """The connection ends here; True."""
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        return True


@dataclass
class FakeRegistry:
    """What it serves, and what it was asked: `METHOD path` in the order of the requests."""

    login: tuple[str, str] | None = None
    """Wanted as basic auth, by the registry or by its token server."""
    realm: str | None = None
    """With one, tokens are wanted; `self` stands for this registry's own token server."""
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """By `repository:tag` and `repository@digest`."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    elsewhere: dict[str, set[str]] = field(default_factory=dict)
    """Digests of `blobs` that only the repository has that is the key."""
    uploads: dict[str, bytearray] = field(default_factory=dict)
    """What has come of blobs that are not whole."""
    hooks: list[Hook] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    shown: list[str | None] = field(default_factory=list)
    """The header `Authorization` of each request."""
    tokens: list[str] = field(default_factory=list)
    """Those that are valid now."""
    lifetime_s: int = 300
    address: str = "127.0.0.1"
    serve_parts: bool = True
    tls: ssl.SSLContext | None = None
    _token_numbers: Iterator[int] = field(default_factory=count)

    def __enter__(self) -> FakeRegistry:
        handler = type("Handler", (Exchange,), {"registry": self})
        self._server = LoopbackServer(handler, address=self.address, tls=self.tls)
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, value, trace)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def url(self) -> str:
        return self._server.url

    def add(self, image: Image, name: str = "team/app:1", *, media_type: str = MANIFEST_TYPE) -> str:
        """Serve an image; the reference that names it."""
        repository = name.rpartition(":")[0]
        self.add_manifest(image.manifest_bytes, name, media_type=media_type)
        self.blobs[str(image.id)] = image.config_bytes
        self.blobs.update({str(layer.descriptor.digest): layer.path.read_bytes() for layer in image.layers})
        assert repository
        return f"{self.host}/{name}"

    def add_manifest(self, content: bytes, name: str = "team/app:1", *, media_type: str = MANIFEST_TYPE) -> str:
        """Serve a document under its name and its digest; the reference that names it."""
        repository = name.rpartition(":")[0]
        self.manifests[name] = self.manifests[f"{repository}@{Digest.of(content)}"] = (content, media_type)
        return f"{self.host}/{name}"

    def before(self, ending: str, *answers: Hook, method: str | None = None) -> None:
        """Let each of `answers` answer once when a path ends in, or has, `ending`."""
        remaining = list(answers)

        def hook(exchange: Exchange) -> bool:
            path = urlsplit(exchange.path).path
            if ending in path and remaining and method in (None, exchange.command):
                return remaining.pop(0)(exchange)
            return False

        self.hooks.append(hook)

    def always(self, ending: str, answer: Hook) -> None:
        """Let `answer` answer whenever a path has `ending`."""
        self.hooks.append(lambda exchange: ending in urlsplit(exchange.path).path and answer(exchange))

    def handle(self, exchange: Exchange) -> None:
        self.requests.append(f"{exchange.command} {exchange.path}")
        self.shown.append(exchange.authorization)
        if any(hook(exchange) for hook in self.hooks):
            return
        path = urlsplit(exchange.path).path
        if path == "/token":
            self._give_token(exchange)
        elif not self._is_open(exchange):
            self._refuse(exchange)
        elif "/blobs/uploads/" in path:
            self._take_blob(exchange, path)
        elif "/manifests/" in path and exchange.command == "PUT":
            self._take_manifest(exchange, path)
        elif "/manifests/" in path:
            self._send_manifest(exchange, path)
        elif "/blobs/" in path:
            self._send_blob(exchange, path)
        else:
            exchange.answer(200 if path == "/v2/" else 404)

    def paths(self, method: str = "GET") -> list[str]:
        """Paths that were asked for with a method."""
        return [path for own, _, path in (entry.partition(" ") for entry in self.requests) if own == method]

    def _is_open(self, exchange: Exchange) -> bool:
        if self.realm is not None:
            return exchange.authorization in [f"Bearer {token}" for token in self.tokens]
        return self.login is None or exchange.authorization == basic(self.login)

    def _refuse(self, exchange: Exchange) -> None:
        challenge = 'Basic realm="tests"'
        if self.realm is not None:
            repository = (
                urlsplit(exchange.path).path.removeprefix("/v2/").partition("/manifests")[0].partition("/blobs")[0]
            )
            realm = f"{self.url}/token" if self.realm == "self" else self.realm
            actions = "pull" if exchange.command in ("GET", "HEAD") else "pull,push"
            challenge = f'Bearer realm="{realm}",service="tests",scope="repository:{repository}:{actions}"'
        content = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        exchange.answer(401, content, WWW_Authenticate=challenge)

    def _give_token(self, exchange: Exchange) -> None:
        if self.login is not None and exchange.authorization != basic(self.login):
            exchange.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}')
            return
        scopes = parse_qs(urlsplit(exchange.path).query).get("scope", [])
        self.tokens.append(f"token-{next(self._token_numbers)}-{'+'.join(scopes)}")
        exchange.answer(200, f'{{"token":"{self.tokens[-1]}","expires_in":{self.lifetime_s}}}'.encode())

    def _send_manifest(self, exchange: Exchange, path: str) -> None:
        repository, _, name = path.removeprefix("/v2/").partition("/manifests/")
        found = self.manifests.get(f"{repository}{'@' if ':' in name else ':'}{name}")
        if found is None:
            exchange.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
            return
        content, media_type = found
        exchange.answer(
            200,
            content,
            Content_Type=media_type,
            Docker_Content_Digest=str(Digest.of(content)),
            Content_Length=str(len(content)),
        )

    def _send_blob(self, exchange: Exchange, path: str) -> None:
        digest = path.rpartition("/")[2]
        content = self.blobs.get(digest)
        repository = path.removeprefix("/v2/").partition("/blobs/")[0]
        is_elsewhere = any(digest in found and name != repository for name, found in self.elsewhere.items())
        if content is None or is_elsewhere:
            exchange.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}')
            return
        wanted = exchange.headers.get("Range")
        if wanted is None or not self.serve_parts:
            exchange.answer(200, content)
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        exchange.answer(206, content[start:], Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")

    def _take_blob(self, exchange: Exchange, path: str) -> None:
        """What belongs to an upload: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs."""
        repository, _, name = path.removeprefix("/v2/").partition("/blobs/uploads/")
        query = {key: values[0] for key, values in parse_qs(urlsplit(exchange.path).query).items()}
        if exchange.command == "POST":
            if query.get("mount") in self.elsewhere.get(query.get("from", ""), ()):
                self.elsewhere[query["from"]].discard(query["mount"])
                exchange.answer(201, Location=f"/v2/{repository}/blobs/{query['mount']}")
                return
            name = f"upload-{uuid.uuid4().hex}"
            self.uploads[name] = bytearray()
            exchange.answer(202, Location=f"/v2/{repository}/blobs/uploads/{name}?state=0")
            return
        content = self.uploads.get(name)
        if content is None:
            exchange.answer(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown"}]}')
            return
        place = {"Location": f"/v2/{repository}/blobs/uploads/{name}?state=1"}
        if exchange.command == "GET":
            exchange.answer(204, Range=f"0-{max(0, len(content) - 1)}", **place)
        elif exchange.command == "DELETE":
            del self.uploads[name]
            exchange.answer(204)
        elif exchange.headers.get("Content-Range", f"{len(content)}-").partition("-")[0] != str(len(content)):
            exchange.answer(416, Range=f"0-{max(0, len(content) - 1)}", **place)
        else:
            for piece in exchange.pieces():
                content += piece
            if exchange.command == "PATCH":
                exchange.answer(202, Range=f"0-{max(0, len(content) - 1)}", **place)
            else:
                # Before the answer: who gets that may look.
                self.uploads.pop(name)
                self._finish_blob(exchange, bytes(content), query["digest"])

    def _finish_blob(self, exchange: Exchange, content: bytes, digest: str) -> None:
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            exchange.answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}')
            return
        self.blobs[digest] = content
        exchange.answer(201, Docker_Content_Digest=digest)

    def _take_manifest(self, exchange: Exchange, path: str) -> None:
        repository, _, name = path.removeprefix("/v2/").partition("/manifests/")
        content = b"".join(exchange.pieces())
        document = json.loads(content)
        parts = [document["config"], *document["layers"]] if "config" in document else []
        if any(part["digest"] not in self.blobs for part in parts):
            exchange.answer(404, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}')
            return
        found = (content, exchange.headers["Content-Type"])
        digest = str(Digest.of(content))
        self.manifests[f"{repository}@{digest}"] = found
        if ":" not in name:
            self.manifests[f"{repository}:{name}"] = found
        exchange.answer(201, Docker_Content_Digest=digest)


def basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


@dataclass
class Waits:
    """Stands for time that passes while nobody asks."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, interrupted: threading.Event, seconds: float) -> None:
        self.seconds.append(seconds)


def client_for(
    *,
    login: Login | None = None,
    settings: RegistrySettings | None = None,
    waits: Waits | None = None,
    deadline: Deadline = NEVER,
) -> RegistryClient:
    """A client that has `login` for every registry and does not wait."""

    def find(reference: Reference) -> Found:
        return Found(login=login, problems=(), places=("`config.json`",))

    return RegistryClient(
        settings=settings or RegistrySettings(),
        find_login=find,
        sleep=waits or Waits(),
        deadline=deadline,
    )


ALICE = Login(origin="`config.json`", username="alice", password="wonder land")
ALICE_PAIR = ("alice", "wonder land")


@dataclass
class Flood:
    """Answers with a body of a gigabyte; `sent` says how much of each was taken before the other side left."""

    status: int = 200
    content_type: str | None = None
    sent: list[int] = field(default_factory=list)

    def __call__(self, exchange: Exchange) -> bool:
        exchange.send_response(self.status)
        if self.content_type is not None:
            exchange.send_header("Content-Type", self.content_type)
        exchange.end_headers()
        sent = 0
        try:
            while sent < 1 << 30:
                sent += exchange.wfile.write(b"x" * (1 << 16))
        except OSError:
            self.sent.append(sent)
        exchange.close_connection = True
        return True
