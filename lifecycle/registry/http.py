"""Single HTTP exchanges, with bounds on everything that the other side decides: headers, sizes, speed, redirects, addresses.

Credentials, retries and the meaning of statuses are the business of `client`. Nothing here reads the environment or `.netrc`.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.exceptions import IncompleteRead as CutOff
from urllib3.exceptions import TimeoutError as NothingCame
from urllib3.util import create_urllib3_context

from lifecycle.registry.reach import Reach, reach_of, reach_of_name
from lifecycle.registry.settings import RegistrySettings

_PIECE_SIZE = 1 << 20
_CONNECTIONS = 8
_SHOWN_LIMIT = 300
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_TLS = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST|UNEXPECTED_EOF|PACKET_LENGTH_TOO_LONG")
_PYTHON_DETAILS = re.compile(r"^<[^>]*>: |\(_ssl\.c:\d+\)|^\[[A-Z0-9_: ]+\] |\[Errno -?\d+\] ")


class TroubleKind(Enum):
    """What came instead of an answer."""

    UNREACHABLE = "unreachable"
    """No connection was made: nothing has been asked."""
    BROKEN = "broken"
    """The connection broke, or nothing came for too long."""
    CERTIFICATE = "certificate"
    """The other side cannot prove who it is."""
    NOT_TLS = "not TLS"
    """The other side does not speak TLS."""
    FORBIDDEN = "forbidden"
    """The address is not one to be sent to."""


class Trouble(Exception):
    """No answer, or not all of it."""

    def __init__(self, kind: TroubleKind, reason: str, *, host: str | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.host = host


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who answers: two URLs of one origin are answered by the same."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of a URL. Raises `ValueError` for one that is not HTTP, or has no host."""
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"`{url[:200]}` is not a URL of HTTP")
        return cls(scheme=parts.scheme, host=parts.hostname, port=parts.port or _DEFAULT_PORTS[parts.scheme])

    @property
    def netloc(self) -> str:
        """`host[:port]` as a URL has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. `registry` is the one in whose name: its certificates and rules count. `most`: how near the address may be."""

    method: str
    url: str
    registry: str
    headers: Mapping[str, str]
    body: bytes | None = None
    most: Reach | None = None


class Response:
    """An answer, whose body is still to come."""

    def __init__(self, response: urllib3.BaseHTTPResponse, settings: RegistrySettings, *, is_head: bool) -> None:
        self._response = response
        self._is_head = is_head
        self._patience = settings.patience
        self.status = response.status
        self.content = b""
        """The body, after `load`."""

    def header(self, name: str) -> str | None:
        """Return the value of a header; of one that stands twice, all of them separated by commas."""
        return self._response.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """Return the values of a header that may stand several times."""
        return self._response.headers.getlist(name)

    def load(self, limit: int) -> None:
        """Read the whole body into `content`. Raises `Trouble`, also for one of more than `limit` bytes."""
        deadline = time.monotonic() + self._patience.document_s
        content = bytearray()
        try:
            while piece := self._read():
                content += piece
                if len(content) > limit:
                    raise Trouble(TroubleKind.BROKEN, f"more than {limit} bytes came")
                if time.monotonic() > deadline:
                    raise Trouble(
                        TroubleKind.BROKEN, f"the answer was not complete after {self._patience.document_s:g} seconds"
                    )
        except BaseException:
            self.close()
            raise
        if not content and self._is_cut():
            raise Trouble(TroubleKind.BROKEN, "it ended before the answer")
        self._response.release_conn()
        self.content = bytes(content)

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises `Trouble` where it breaks off or trickles."""
        window_end, window_size = time.monotonic() + self._patience.window_s, 0
        try:
            while piece := self._read():
                window_size += len(piece)
                if time.monotonic() > window_end:
                    if window_size < self._patience.window_bytes:
                        raise Trouble(
                            TroubleKind.BROKEN, f"only {window_size} bytes came in {self._patience.window_s:g} seconds"
                        )
                    window_end, window_size = time.monotonic() + self._patience.window_s, 0
                yield piece
        except BaseException:
            self.close()
            raise
        self._response.release_conn()

    def close(self) -> None:
        """Give up what has not come."""
        self._response.close()

    def _is_cut(self) -> bool:
        """Whether an empty body may be none: http.client takes the end of the connection for the end of the headers."""
        headers = self._response.headers
        return self.status == 200 and not self._is_head and not headers.keys() & {"Content-Length", "Transfer-Encoding"}

    def _read(self) -> bytes:
        try:
            return self._response.read1(_PIECE_SIZE, decode_content=False)
        except (HTTPError, OSError, ValueError) as err:
            raise _trouble(err, self._patience.idle_s) from err


class Http:
    """Connections to registries and to where these send, kept open between requests; safe for several threads."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._openers: dict[tuple[Origin, str, Reach | None], urllib3.PoolManager] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._reaches: dict[Origin, Reach] = {}
        self._connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()

    def open(self, request: Request) -> Response:
        """Return the answer, redirects included: they are the caller's to follow. Raises `Trouble`, `ValueError`."""
        origin = Origin.of(request.url)
        if request.most is not None:
            self._check_name(origin, request.most)
        opener = self._opener(origin, request)
        try:
            response = opener.urlopen(
                request.method,
                request.url,
                body=request.body,
                headers={"Accept-Encoding": "identity", "User-Agent": "pybuild", **request.headers},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as err:
            trouble = _trouble(err, self._settings.patience.idle_s)
            trouble.host = origin.netloc
            if (proxy := self._proxy_for(origin)) is not None:
                trouble.reason += f" (through the proxy {without_query(proxy)})"
            raise trouble from err
        return Response(response, self._settings, is_head=request.method == "HEAD")

    def reach(self, origin: Origin) -> Reach:
        """Return the reach of the address that a registry was found at; public where a proxy knows it."""
        return self._reaches.get(origin) or reach_of_name(origin.host) or Reach.PUBLIC

    def interrupt(self) -> None:
        """End all exchanges of other threads: they get `Trouble` at once."""
        for connection in list(self._connections):
            _shut(connection)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for opener in self._openers.values():
                opener.clear()
            self._openers.clear()

    def _check_name(self, origin: Origin, most: Reach) -> None:
        reach = reach_of_name(origin.host)
        if reach is not None and (reach > most or reach is Reach.LINK):
            raise _forbidden(reach)

    def _opener(self, origin: Origin, request: Request) -> urllib3.PoolManager:
        key = (origin, request.registry, request.most)
        with self._lock:
            if key not in self._openers:
                self._openers[key] = self._make_opener(origin, request)
            return self._openers[key]

    def _make_opener(self, origin: Origin, request: Request) -> urllib3.PoolManager:
        patience = self._settings.patience
        proxy = self._proxy_for(origin)
        is_direct = proxy is None
        limits = _Limits(
            # Where a proxy leads to is up to the proxy.
            most=request.most if is_direct else None,
            headers_s=patience.document_s,
            on_reach=lambda reach: self._reaches.setdefault(origin, reach) if is_direct else None,
            on_wait=self._connections.add,
        )
        timeout = urllib3.Timeout(connect=patience.connect_s, read=patience.idle_s)
        context = self._tls(request.registry) if origin.scheme == "https" else None
        opener: urllib3.PoolManager
        if proxy is None:
            opener = urllib3.PoolManager(timeout=timeout, maxsize=_CONNECTIONS, ssl_context=context)
        else:
            url, headers = _split_proxy(proxy)
            opener = urllib3.ProxyManager(
                url, proxy_headers=headers, timeout=timeout, maxsize=_CONNECTIONS, ssl_context=context
            )
        opener.pool_classes_by_scheme = {
            "http": _pool_class(urllib3.HTTPConnectionPool, _Limited, limits),
            "https": _pool_class(urllib3.HTTPSConnectionPool, _LimitedTls, limits),
        }
        return opener

    def _proxy_for(self, origin: Origin) -> str | None:
        return self._settings.proxy_for(origin.scheme, origin.host, origin.port)

    def _tls(self, registry: str) -> ssl.SSLContext:
        if registry not in self._contexts:
            self._contexts[registry] = self._make_context(registry)
        return self._contexts[registry]

    def _make_context(self, registry: str) -> ssl.SSLContext:
        settings = self._settings
        context = create_urllib3_context()
        if settings.is_insecure(registry):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif settings.ca_bundle is None:
            context.load_default_certs()
        authorities = settings.certificate_files(registry, ".crt")
        if settings.ca_bundle is not None:
            authorities = (settings.ca_bundle, *authorities)
        for authority in authorities:
            with _naming(authority):
                context.load_verify_locations(cafile=authority)
        for certificate in settings.certificate_files(registry, ".cert"):
            with _naming(certificate):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context


def without_query(url: str) -> str:
    """Return a URL for messages: what stands behind `?` may be a key, what stands before `@` a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:_SHOWN_LIMIT]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What a connection must keep to."""

    most: Reach | None
    headers_s: float
    on_reach: Callable[[Reach], object]
    on_wait: Callable[[socket.socket], object]


class _WholeHeaders(http.client.HTTPResponse):
    """An answer whose headers are headers."""

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        if self.msg.defects:
            raise http.client.HTTPException("the headers of the answer are broken off")


class _Limited(HTTPConnection):
    """A connection that goes to allowed addresses only, and does not wait for headers without end."""

    response_class = _WholeHeaders

    def __init__(self, *arguments: object, limits: _Limits, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # what urllib3's pool hands on
        self._limits = limits

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        # The address that the connection has, not one that the name may have had a moment before.
        reach = reach_of(connection.getpeername()[0])
        most = self._limits.most
        if most is not None and (reach > most or reach is Reach.LINK):
            connection.close()
            raise _forbidden(reach)
        self._limits.on_reach(reach)
        return connection

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3's own
        """Return the answer, when its headers are there."""
        connection = self.sock
        self._limits.on_wait(connection)
        # Not the method of a TLS socket, which forgets the session that another thread is reading with.
        timer = threading.Timer(self._limits.headers_s, _shut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()


class _LimitedTls(_Limited, HTTPSConnection):
    """The same with TLS."""

    def connect(self) -> None:
        """Connect."""
        super().connect()
        # Who has named a registry as one that needs no proof need not be warned by urllib3.
        self.is_verified = True


def _pool_class(
    kind: type[urllib3.HTTPConnectionPool], connection: type[_Limited], limits: _Limits
) -> type[urllib3.HTTPConnectionPool]:
    """A class of pools whose connections keep to `limits`: urllib3 hands nothing of its own on to connections."""
    return type("Pool", (kind,), {"ConnectionCls": functools.partial(connection, limits=limits)})


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended by itself
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _split_proxy(proxy: str) -> tuple[str, dict[str, str] | None]:
    """URL of a proxy without credentials, and the header that has them."""
    parts = urlsplit(proxy)
    if parts.scheme not in _DEFAULT_PORTS:
        raise Trouble(
            TroubleKind.UNREACHABLE, f"proxies of the kind `{parts.scheme}` are not supported; use one of HTTP"
        )
    headers = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=pair)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", headers


@contextlib.contextmanager
def _naming(certificate: Path) -> Iterator[None]:
    """An error of the file `certificate` names it."""
    try:
        yield
    except OSError as err:
        raise Trouble(TroubleKind.CERTIFICATE, f"`{certificate}` cannot be used: {_words(err)}") from err


def _forbidden(reach: Reach) -> Trouble:
    return Trouble(TroubleKind.FORBIDDEN, f"is at {reach.description} address")


def _trouble(err: Exception, idle_s: float) -> Trouble:
    """What an exception of urllib3, or below it, means."""
    chain = [err]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < 8:
        if not isinstance(cause, Exception):
            break
        chain.append(cause)
    chain += [argument for one in chain for argument in one.args if isinstance(argument, Exception)]
    for one in chain:
        if isinstance(one, Trouble):
            return one
        if isinstance(one, ssl.SSLCertVerificationError):
            reason = (one.verify_message or _words(one)).rstrip(".")
            return Trouble(TroubleKind.CERTIFICATE, reason[:1].lower() + reason[1:])
        if isinstance(one, ssl.SSLError):
            kind = TroubleKind.NOT_TLS if _NOT_TLS.search(str(one)) else TroubleKind.CERTIFICATE
            return Trouble(kind, f"no connection with TLS: {_words(one)}")
    for one in chain:
        if isinstance(one, NameResolutionError):
            return Trouble(TroubleKind.UNREACHABLE, "its name is not known")
        if isinstance(one, (NewConnectionError, ConnectionRefusedError)):
            return Trouble(TroubleKind.UNREACHABLE, _words(_of_system(chain)))
        if isinstance(one, (NothingCame, socket.timeout)):
            return Trouble(TroubleKind.BROKEN, f"nothing came for {idle_s:g} seconds")
        if isinstance(one, (http.client.IncompleteRead, CutOff)):
            return Trouble(TroubleKind.BROKEN, "it ended in the middle of an answer")
        if isinstance(one, http.client.RemoteDisconnected):
            return Trouble(TroubleKind.BROKEN, "it ended without an answer")
    return Trouble(TroubleKind.BROKEN, _words(_of_system(chain)))


def _of_system(chain: list[Exception]) -> Exception:
    """The exception that has the system's own words, or else the first cause."""
    return next((one for one in chain if isinstance(one, OSError) and one.strerror), chain[-1])


def _words(err: Exception) -> str:
    text = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
    return _PYTHON_DETAILS.sub("", text).strip().lower() or type(err).__name__
