"""HTTP servers of the tests' own, on 127.0.0.1 only."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TypeVar

_Server = TypeVar("_Server", bound="LoopbackServer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """A private authority and a certificate of it for 127.0.0.1."""

    authority: Path
    certificate: Path
    key: Path


class QuietHandler(BaseHTTPRequestHandler):
    """Answers requests; servers keep what they were asked, and standard error belongs to pytest."""

    disable_nagle_algorithm = True  # a body must not wait until the head that went before it is acknowledged: 40 ms

    def answer_json(self, status: int, document: object) -> None:
        """A whole answer."""
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""


class _Threads(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), handler)

    def handle_error(self, *_: object) -> None:
        """Clients that go away in the middle are what many tests are about."""


class LoopbackServer:
    """Serves from the beginning of its context to the end."""

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        *,
        address: str = "127.0.0.1",
        certificates: Certificates | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = _Threads(address, handler)
        if certificates:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificates.certificate, certificates.key)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)

    def __enter__(self: _Server) -> _Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """Host and port."""
        address = str(self._server.server_address[0])
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"

    @property
    def url(self) -> str:
        """Its root, without credentials."""
        return f"{self._scheme}://{self.host}"


def make_certificates(directory: Path) -> Certificates:
    """A new authority, and a certificate of it."""
    directory.mkdir()
    authority, authority_key = directory / "authority.pem", directory / "authority.key"
    certificate, key, request = directory / "server.pem", directory / "server.key", directory / "server.csr"
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    new_key = ["-newkey", "rsa:2048", "-nodes", "-keyout"]
    commands = (
        ["req", "-x509", *new_key, authority_key, "-subj", "/CN=Authority of the tests", "-out", authority],
        ["req", *new_key, key, "-subj", "/CN=127.0.0.1", "-out", request],
        ["x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial",
         "-extfile", extensions, "-out", certificate],
    )  # fmt: skip
    for command in commands:
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    return Certificates(authority=authority, certificate=certificate, key=key)
