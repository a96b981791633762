"""HTTP servers of the tests' own, on 127.0.0.1 only."""

from __future__ import annotations

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

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""


class LoopbackServer:
    """Serves from the beginning of its context to the end."""

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        *,
        address: str = "127.0.0.1",
        certificates: Certificates | None = None,
    ) -> None:
        self._scheme = "https" if certificates else "http"
        self._server = ThreadingHTTPServer((address, 0), handler)
        self._server.daemon_threads = True
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
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
        return f"{self._server.server_address[0]!s}:{self.port}"

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
