"""Serves conda channels on 127.0.0.1, as a host such as conda.anaconda.org does, with the faults and locks that a test asks for."""

from __future__ import annotations

import base64
import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tests.loopback import Certificates, LoopbackServer, QuietHandler

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with a request."""

    status: int = 200
    """Another one than 200 is the whole answer."""
    truncate: bool = False
    """True: the connection ends in the middle of the body."""
    body: bytes | None = None
    """Answered instead of the file."""
    pause_s: float = 0
    """Nothing comes for that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a server wants to see before it answers: one of these."""

    basic: tuple[str, str] | None = None
    bearer: str | None = None
    token: str | None = None
    """Stands in the path: `/t/TOKEN/conda-forge/…`."""


class ChannelServer(LoopbackServer):
    """Channels by the first components of their path. `requests` are the paths that were asked for, `faults` go by path ending."""

    def __init__(
        self, channels: Mapping[str, Path], *, lock: Lock | None = None, certificates: Certificates | None = None
    ) -> None:
        self.channels = dict(channels)
        self.requests: list[str] = []
        self.faults: dict[str, Fault] = {}
        self.lock = lock
        super().__init__(_handler(self), certificates=certificates)

    @property
    def packages(self) -> list[str]:
        """Names of the package files that were downloaded, in the order of the requests."""
        return [PurePosixPath(path).name for path in self.requests if path.endswith((".conda", ".tar.bz2"))]

    def find(self, path: str) -> Path | None:
        """The file that `path` names; None for what is not there or outside of the channels."""
        parts = [unquote(part) for part in urlsplit(path).path.split("/") if part]
        if ".." in parts:
            return None
        for name, directory in self.channels.items():
            own = name.split("/")
            if parts[: len(own)] == own and (found := directory.joinpath(*parts[len(own) :])).is_file():
                return found
        return None

    def is_open_to(self, path: str, authorization: str | None) -> bool:
        """Whether a request shows what `lock` wants to see."""
        if self.lock is None:
            return True
        if self.lock.token is not None:
            return path.startswith(f"/t/{self.lock.token}/")
        if self.lock.bearer is not None:
            return authorization == f"Bearer {self.lock.bearer}"
        credentials = base64.b64encode(":".join(self.lock.basic or ()).encode()).decode()
        return authorization == f"Basic {credentials}"


def without_proxies() -> dict[str, str | None]:
    """Changes of an environment: 127.0.0.1 is reached without the machine's proxies."""
    return dict.fromkeys(_PROXIES)


def _handler(server: ChannelServer) -> type[QuietHandler]:
    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path
            server.requests.append(path)
            if not server.is_open_to(path, self.headers.get("Authorization")):
                return self._refuse(401)
            if server.lock is not None and server.lock.token is not None:
                path = path.removeprefix(f"/t/{server.lock.token}")
            fault = next((fault for ending, fault in server.faults.items() if path.endswith(ending)), Fault())
            time.sleep(fault.pause_s)
            if fault.status != 200:
                return self._refuse(fault.status)
            if fault.body is not None:
                self._begin(200, len(fault.body), "text/html")
                self.wfile.write(fault.body if with_body else b"")
                return None
            found = server.find(path)
            return self._refuse(404) if found is None else self._send(found, fault, with_body=with_body)

        def _send(self, path: Path, fault: Fault, *, with_body: bool) -> None:
            status = path.stat()
            tag = hashlib.sha256(f"{path}{status.st_mtime_ns}{status.st_size}".encode()).hexdigest()[:16]
            if self.headers.get("If-None-Match") == f'"{tag}"':
                # Without the tag, http-cache-semantics takes the answer for another file.
                self._begin(304, 0, "application/octet-stream", tag)
                return
            self._begin(200, status.st_size, "application/octet-stream", tag)
            if not with_body:
                return
            with path.open("rb") as stream:
                if fault.truncate:
                    self.wfile.write(stream.read(status.st_size // 2))
                    self.close_connection = True
                    return
                shutil.copyfileobj(stream, self.wfile, 1 << 20)

        def _refuse(self, status: int) -> None:
            self._begin(status, 0, "text/plain")

        def _begin(self, status: int, size: int, kind: str, tag: str | None = None) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="channels"')
            if tag is not None:
                self.send_header("ETag", f'"{tag}"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(size))
            self.end_headers()

    return Handler
