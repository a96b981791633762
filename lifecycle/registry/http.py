"""Single HTTP exchanges, with bounds on everything that the other side decides: headers, sizes, speed, redirects, addresses.

Credentials, retries and the meaning of statuses are the business of `client`. Nothing here reads the environment or `.netrc`.
Loaded with the first client: urllib3 takes longer to load than what most builds do that ask no registry.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import create_urllib3_context

from lifecycle.connections import Connections
from lifecycle.registry.causes import trouble_of
from lifecycle.registry.connection import Limits, keep_to
from lifecycle.registry.origin import DEFAULT_PORTS, Origin, without_query
from lifecycle.registry.reach import Reach, reach_of_name
from lifecycle.registry.request import Request
from lifecycle.registry.settings import RegistrySettings, host_of
from lifecycle.registry.trouble import Trouble, TroubleKind, forbidden, words_of

_PIECE_SIZE = 1 << 20
_CONNECTIONS = 8


class Response:
    """An answer, whose body is still to come."""

    def __init__(self, response: urllib3.BaseHTTPResponse, settings: RegistrySettings, request: Request) -> None:
        self._response = response
        self._is_head = request.method == "HEAD"
        self.url = request.url
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
            raise trouble_of(err, self._patience.idle_s) from err


class Http:
    """Connections to registries and to where these send, kept open between requests; safe for several threads."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._openers: dict[tuple[Origin, str, Reach | None], urllib3.PoolManager] = {}
        self._contexts: dict[tuple[str, str], ssl.SSLContext] = {}
        self._reaches: dict[Origin, Reach] = {}
        self._connections = Connections()
        self._lock = threading.Lock()

    def open(self, request: Request) -> Response:
        """Return the answer, redirects included: they are the caller's to follow. Raises `Trouble`, `ValueError`."""
        origin = Origin.of(request.url)
        if request.most is not None:
            self._check_name(origin, request.most)
        opener = self._opener(origin, request)
        patience = self._settings.patience
        headers = {"Accept-Encoding": "identity", "User-Agent": "pybuild", **request.headers}
        if request.body is not None:
            # Without it, urllib3 sends what comes in pieces in a form that not every registry takes.
            headers["Content-Length"] = str(len(request.body))
        try:
            response = opener.urlopen(
                request.method,
                request.url,
                body=request.body,
                headers=headers,
                timeout=urllib3.Timeout(
                    connect=patience.connect_s, read=patience.storing_s if request.takes_long else patience.idle_s
                ),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as err:
            trouble = trouble_of(err, patience.storing_s if request.takes_long else patience.idle_s)
            trouble.host = origin.netloc
            if (proxy := self._proxy_for(origin)) is not None:
                trouble.reason += f" (through the proxy {without_query(proxy)})"
            raise trouble from err
        return Response(response, self._settings, request)

    def reach(self, origin: Origin) -> Reach:
        """Return the reach of the address that a registry was found at; public where a proxy knows it."""
        return self._reaches.get(origin) or reach_of_name(origin.host) or Reach.PUBLIC

    def end(self) -> None:
        """End all exchanges, also those to come: they get `Trouble` at once."""
        self._connections.end()

    def interrupt(self) -> None:
        """End all exchanges of other threads: they get `Trouble` at once."""
        self._connections.interrupt()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for opener in self._openers.values():
                opener.clear()
            self._openers.clear()

    def _check_name(self, origin: Origin, most: Reach) -> None:
        reach = reach_of_name(origin.host)
        if reach is not None and (reach > most or reach is Reach.LINK):
            raise forbidden(reach)

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
        limits = Limits(
            # Where a proxy leads to is up to the proxy.
            most=request.most if is_direct else None,
            idle_s=patience.idle_s,
            headers_s=patience.document_s,
            on_reach=lambda reach: self._reaches.setdefault(origin, reach) if is_direct else None,
            on_connect=self._connections.note,
        )
        context = self._tls(origin, request.registry) if origin.scheme == "https" else None
        opener: urllib3.PoolManager
        if proxy is None:
            opener = urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=context)
        else:
            url, headers = _split_proxy(proxy)
            opener = urllib3.ProxyManager(url, proxy_headers=headers, maxsize=_CONNECTIONS, ssl_context=context)
        keep_to(limits, opener)
        return opener

    def _proxy_for(self, origin: Origin) -> str | None:
        return self._settings.proxy_for(origin.scheme, origin.host, origin.port)

    def _tls(self, origin: Origin, registry: str) -> ssl.SSLContext:
        is_own = origin.netloc == host_of(registry)
        key = (registry, registry if is_own else origin.netloc)
        if key not in self._contexts:
            self._contexts[key] = self._make_context(*key)
        return self._contexts[key]

    def _make_context(self, registry: str, name: str) -> ssl.SSLContext:
        """What counts for `name`, which is `registry` or where that sends to: its authorities vouch for both, all else is its own."""
        settings = self._settings
        context = create_urllib3_context()
        if settings.is_insecure(name):
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
        for certificate in settings.certificate_files(name, ".cert"):
            with _naming(certificate):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context


def _split_proxy(proxy: str) -> tuple[str, dict[str, str] | None]:
    """URL of a proxy without credentials, and the header that has them."""
    parts = urlsplit(proxy)
    if parts.scheme not in DEFAULT_PORTS:
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
        raise Trouble(TroubleKind.CERTIFICATE, f"`{certificate}` cannot be used: {words_of(err)}") from err
