"""A proxy of the tests' own between a client and a real registry, both on 127.0.0.1: it passes everything on until it is told not to.

What happens to a request is a `Fault`; each is for one kind of request, once or always, in the order in which they were asked for.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs, urlsplit

from tests.loopback import LoopbackServer, QuietHandler

_PIECE_SIZE = 1 << 16
_PATIENCE_S = 60.0
# What is said of a connection, and not of what goes through it
_OF_THE_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
_UPLOADS = re.compile(r"/v2/.+/blobs/uploads/")
_BLOB = re.compile(r"/v2/.+/blobs/")
_MANIFEST = re.compile(r"/v2/.+/manifests/")


class Kind(Enum):
    """What a client wants with a request."""

    PING = "ping"
    HEAD_MANIFEST = "HEAD manifest"
    GET_MANIFEST = "GET manifest"
    PUT_MANIFEST = "PUT manifest"
    HEAD_BLOB = "HEAD blob"
    GET_BLOB = "GET blob"
    POST = "POST"
    """Begins an upload, or asks for a mount."""
    PATCH = "PATCH"
    PUT_BLOB = "PUT blob"
    """Ends an upload."""
    STATUS = "GET upload"
    OTHER = "other"

    @classmethod
    def of(cls, method: str, path: str) -> Kind:
        """The kind of a request."""
        if path in ("/v2/", "/v2"):
            return cls.PING
        if _UPLOADS.match(path):
            known = {"POST": cls.POST, "PATCH": cls.PATCH, "PUT": cls.PUT_BLOB, "GET": cls.STATUS}
            return known.get(method, cls.OTHER)
        if _BLOB.match(path):
            return {"HEAD": cls.HEAD_BLOB, "GET": cls.GET_BLOB}.get(method, cls.OTHER)
        if _MANIFEST.match(path):
            known = {"HEAD": cls.HEAD_MANIFEST, "GET": cls.GET_MANIFEST, "PUT": cls.PUT_MANIFEST}
            return known.get(method, cls.OTHER)
        return cls.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that came, and what became of it."""

    kind: Kind
    path: str
    """With the query."""
    authorization: str | None
    status: int | None
    """`None`: it got no answer."""
    body_size: int
    """Bytes of the body that came."""


Fault = Callable[["Exchange"], None]
"""What becomes of a request instead of being passed on as it is."""
At = Callable[[int], int]
"""After how many bytes of a body of that size something happens."""

PLACES: Mapping[str, At] = {
    "nothing": lambda _: 0,
    "one byte": lambda _: 1,
    "half": lambda size: size // 2,
    "all but one byte": lambda size: size - 1,
}


class Exchange(QuietHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S
    proxy: FaultProxy

    def do_any(self) -> None:
        """Do what the proxy was told to do with such a request."""
        self.kind = Kind.of(self.command, urlsplit(self.path).path)
        self._status: int | None = None
        self._received = 0
        try:
            self.proxy.fault_for(self)(self)
        except (OSError, http.client.HTTPException):
            # One of the two has gone.
            self.cut()
        self.proxy.note(
            Seen(
                kind=self.kind,
                path=self.path,
                authorization=self.headers.get("Authorization"),
                status=self._status,
                body_size=self._received,
            )
        )

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_any  # noqa: N815 - names that http.server has

    @property
    def size(self) -> int | None:
        """Bytes of the body; `None`: they come in chunks until they end."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return None
        return int(self.headers.get("Content-Length", 0))

    def answer(self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer in place of the registry, after the body has come."""
        for _ in self._body(None):
            pass
        self._begin(status, {"Content-Length": str(len(content)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(content)

    def cut(self) -> None:
        """End the connection as a machine does that was switched off: with a reset."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def relay(
        self,
        *,
        body: At | None = None,
        content: At | None = None,
        change: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda said: said,
        is_damaged: bool = False,
        with_credentials: bool = True,
        bytes_per_s: int | None = None,
    ) -> None:
        """Pass the request on, and the answer back.

        `body`, `content`: after how many bytes of the request's or the answer's the connection ends. `change` gets the
        headers of the answer and returns those that are passed on. `is_damaged`: a bit of the answer's content is another one.
        """
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=_PATIENCE_S)
        try:
            if not self._send(connection, body, with_credentials=with_credentials, bytes_per_s=bytes_per_s):
                self.cut()
                return
            response = connection.getresponse()
            said = {name: value for name, value in response.getheaders() if name.lower() not in _OF_THE_CONNECTION}
            size = int(said.get("Content-Length", 0))
            self._begin(response.status, {"Content-Length": "0", **change(said)})
            if self.command == "HEAD":
                return
            limit = None if content is None else content(size)
            sent = 0
            while piece := response.read(_PIECE_SIZE):
                if is_damaged and sent == 0:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                rest = len(piece) if limit is None else limit - sent
                self.wfile.write(piece[:rest])
                self._pace(len(piece[:rest]), bytes_per_s)
                sent += len(piece[:rest])
                if limit is not None and sent >= limit:
                    self.wfile.flush()
                    self.cut()
                    return
        finally:
            connection.close()

    def lose_answer(self) -> None:
        """Pass the request on; the answer gets lost."""
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=_PATIENCE_S)
        try:
            self._send(connection, None)
            connection.getresponse().read()
        finally:
            connection.close()
        self.cut()

    def wait(self) -> None:
        """Say nothing until the client goes away, or the proxy ends."""
        for _ in self._body(None):
            pass
        self.connection.settimeout(0.05)
        while not self.proxy.is_over:
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
        self.cut()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        body: At | None,
        *,
        with_credentials: bool = True,
        bytes_per_s: int | None = None,
    ) -> bool:
        """Pass the request on; whether all of it."""
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        left_out = {*_OF_THE_CONNECTION, *(() if with_credentials else ("authorization",))}
        for name, value in self.headers.items():
            if name.lower() not in left_out:
                connection.putheader(name, value)
        if self.size is None:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        limit = None if body is None else body(self.size or 0)
        for piece in self._body(limit):
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if self.size is None else piece)
            self._pace(len(piece), bytes_per_s)
        if limit is not None:
            # The registry has seen the end when the client does, who may ask at once how much has arrived.
            connection.sock.shutdown(socket.SHUT_WR)
            while connection.sock.recv(_PIECE_SIZE):
                pass
            return False
        if self.size is None:
            connection.send(b"0\r\n\r\n")
        return True

    def _body(self, limit: int | None) -> Iterator[bytes]:
        """The body as it comes, but for what is beyond `limit` bytes."""
        while limit is None or self._received < limit:
            most = _PIECE_SIZE if limit is None else min(_PIECE_SIZE, limit - self._received)
            piece = self._chunk() if self.size is None else self.rfile.read(min(most, self.size - self._received))
            if not piece:
                return
            piece = piece[:most] if limit is not None else piece
            self._received += len(piece)
            yield piece

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(100).partition(b";")[0], 16)
        content = self.rfile.read(size)
        self.rfile.readline(100)
        return content

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _pace(self, size: int, bytes_per_s: int | None) -> None:
        if bytes_per_s is not None:
            time.sleep(size / bytes_per_s)


@dataclass
class _Order:
    """A fault that waits for its request."""

    kinds: tuple[Kind, ...]
    fault: Fault
    at: str
    smallest: int
    times: int | None

    def fits(self, exchange: Exchange) -> bool:
        is_large = exchange.size is None or exchange.size >= self.smallest
        return exchange.kind in self.kinds and self.at in exchange.path and is_large and self.times != 0


class FaultProxy(LoopbackServer):
    """Stands for the registry at `upstream` (`host:port`, without TLS) at its own `host`."""

    def __init__(self, upstream: str) -> None:
        super().__init__(type("Handler", (Exchange,), {"proxy": self}))
        self.upstream = upstream
        self.is_over = False
        self.seen: list[Seen] = []
        """The requests, in the order of their ends."""
        self._orders: list[_Order] = []
        self._revoked: set[str] = set()
        self._lock = threading.Lock()

    def __exit__(self, *ending: object) -> None:
        self.is_over = True
        super().__exit__(None, None, None)

    def once(
        self,
        fault: Fault,
        *kinds: Kind,
        times: int | None = 1,
        at: str = "",
        smallest: int = 0,
    ) -> None:
        """Let `fault` happen to the next request, or the next few, of one of `kinds`.

        Only those count that have `at` in their path and a body of `smallest` bytes at least.
        """
        order = _Order(kinds=kinds, fault=fault, at=at, smallest=smallest, times=times)
        with self._lock:
            self._orders.append(order)

    def always(self, fault: Fault, *kinds: Kind, at: str = "", smallest: int = 0) -> None:
        """Let `fault` happen to every such request."""
        self.once(fault, *kinds, times=None, at=at, smallest=smallest)

    def relent(self) -> None:
        """From now on pass everything on, and forget what was seen."""
        with self._lock:
            self._orders.clear()
            self._revoked.clear()
            self.seen.clear()

    def revoke(self, authorization: str | None) -> None:
        """Do not let the registry know of these credentials any more."""
        with self._lock:
            self._revoked.add(authorization or "")

    @property
    def is_done(self) -> bool:
        """Whether every fault that should happen once has happened."""
        with self._lock:
            return not any(order.times for order in self._orders)

    def count(self, *kinds: Kind) -> int:
        """How many requests of these kinds came."""
        return sum(one.kind in kinds for one in self.seen)

    def uploaded(self) -> int:
        """Bytes of blobs that came."""
        return sum(one.body_size for one in self.seen if one.kind in (Kind.POST, Kind.PATCH, Kind.PUT_BLOB))

    def note(self, seen: Seen) -> None:
        """Keep what became of a request."""
        with self._lock:
            self.seen.append(seen)

    def fault_for(self, exchange: Exchange) -> Fault:
        """What is to become of a request."""
        with self._lock:
            order = next((one for one in self._orders if one.fits(exchange)), None)
            if order is not None:
                if order.times is not None:
                    order.times -= 1
                return order.fault
            is_revoked = exchange.headers.get("Authorization") in self._revoked
        return lambda one: one.relay(with_credentials=not is_revoked)


def answer(status: int, code: str = "", **headers: str) -> Fault:
    """The registry answers so itself; `code` is that of its error. `_` in names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = b'{"errors":[{"code":"%b","message":"of the tests"}]}' % code.encode() if code else b""
    return lambda exchange: exchange.answer(status, content, named)


def cut_body(at: At) -> Fault:
    """So much of what is sent reaches the registry, then both connections end."""
    return lambda exchange: exchange.relay(body=at)


def cut_content(at: At) -> Fault:
    """So much of what the registry sends arrives, then the connection ends."""
    return lambda exchange: exchange.relay(content=at)


def lose_answer(exchange: Exchange) -> None:
    """The registry does what it is asked for, and the connection ends before it says so."""
    exchange.lose_answer()


def hang_up(exchange: Exchange) -> None:
    """The connection ends, and the registry knows of nothing."""
    exchange.cut()


def say_nothing(exchange: Exchange) -> None:
    """No answer comes, as long as the client waits."""
    exchange.wait()


def damage(exchange: Exchange) -> None:
    """A bit of what the registry sends is another one."""
    exchange.relay(is_damaged=True)


def slow(bytes_per_s: int) -> Fault:
    """Bodies pass at this speed."""
    return lambda exchange: exchange.relay(bytes_per_s=bytes_per_s)


def say_instead(**headers: str) -> Fault:
    """The registry's answer has other headers; `_` in their names stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.relay(change=lambda said: {**said, **named})


def send_elsewhere(host: str) -> Fault:
    """An upload goes on at `host`, the registry says."""

    def change(said: Mapping[str, str]) -> Mapping[str, str]:
        return {**said, "Location": urlsplit(said["Location"])._replace(netloc=host).geturl()}

    return lambda exchange: exchange.relay(change=change)


def forget(exchange: Exchange) -> None:
    """The registry claims to have a blob that was sent, and has not stored it."""
    digest = parse_qs(urlsplit(exchange.path).query)["digest"][0]
    location = urlsplit(exchange.path).path.partition("/uploads/")[0] + f"/{digest}"
    exchange.answer(201, b"", {"Docker-Content-Digest": digest, "Location": location})


def claim(exchange: Exchange) -> None:
    """The registry claims to have a blob that it has not."""
    exchange.answer(200, b"", {"Docker-Content-Digest": exchange.path.rpartition("/")[2]})


def expire(exchange: Exchange) -> None:
    """The credentials of this request are no longer valid, here and from now on."""
    exchange.proxy.revoke(exchange.headers.get("Authorization"))
    exchange.relay(with_credentials=False)
