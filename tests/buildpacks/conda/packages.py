"""A small real channel: packages written by the tests, indexed by rattler, served on 127.0.0.1."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import rattler.index

from tests.integration.conda_packages import CondaPackage, write_package
from tests.loopback import Certificates

__all__ = ["Channels", "CondaPackage", "make_channel", "serve", "write_package"]


def make_channel(directory: Path, packages: Sequence[CondaPackage]) -> Path:
    """Write and index a channel of `packages`; returns `directory`."""
    for subdir in ("noarch", "linux-64", "linux-aarch64"):
        (directory / subdir).mkdir(parents=True, exist_ok=True)
    for package in packages:
        write_package(directory, package)
    asyncio.run(rattler.index.index_fs(directory, force=True))
    return directory


@dataclass(slots=True, kw_only=True)
class Channels:
    """A server of channels. What is changed while it runs counts from the next request on."""

    url: str
    """Without a slash at its end; each directory below the root is a channel."""
    root: Path
    requests: list[str] = field(default_factory=list)
    """Paths, in the order of their requests."""
    authorizations: list[str | None] = field(default_factory=list)
    """The header of each of the requests."""
    required: str | None = None
    """The value that the header `Authorization` must have; without it the answer is 401."""
    statuses: dict[str, int] = field(default_factory=dict)
    """What to answer instead of the files whose paths begin with these."""
    headers: dict[str, str] = field(default_factory=dict)
    """What else every answer says, such as `Cache-Control`."""
    truncated: set[str] = field(default_factory=set)
    """Paths of which only half is sent."""
    truncated_once: set[str] = field(default_factory=set)
    """The same, the first time only."""

    def require_basic(self, user: str, password: str) -> None:
        self.required = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def serve(root: Path, *, certificates: Certificates | None = None) -> Iterator[Channels]:
    """Serve the directories below `root`; with TLS where there are certificates."""
    channels = Channels(url="", root=root)
    handler = functools.partial(_Handler, channels=channels)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    scheme = "http"
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    channels.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield channels
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as in `tests.loopback`

    def __init__(self, *args: object, channels: Channels) -> None:
        self._channels = channels
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        channels = self._channels
        path = self.path.partition("?")[0]
        channels.requests.append(path)
        channels.authorizations.append(self.headers.get("Authorization"))
        status = next((code for start, code in channels.statuses.items() if path.startswith(start)), None)
        if channels.required not in (None, self.headers.get("Authorization")):
            status = 401
        data = self._read(path) if status is None else None
        tag = None if data is None else f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if tag is not None and self.headers.get("If-None-Match") == tag:
            status, data = 304, b""
        with suppress(ConnectionError):  # rattler asks for three forms of an index and takes the first
            self.send_response(status or (404 if data is None else 200))
            for name, value in {**channels.headers, **({} if tag is None else {"ETag": tag})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if data and path in channels.truncated | channels.truncated_once:
                channels.truncated_once.discard(path)
                data, self.close_connection = data[: len(data) // 2], True
            self.wfile.write(data or b"")

    def _read(self, path: str) -> bytes | None:
        file = self._channels.root / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    def log_message(self, *args: object) -> None:
        pass
