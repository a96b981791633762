"""A git server on 127.0.0.1: git's own program for HTTP (https://git-scm.com/docs/git-http-backend) behind Python's server."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.loopback import LoopbackServer, QuietHandler

_IDENTITY = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")


class GitServer(LoopbackServer):
    """Serves the repositories of a directory to who has the `credentials`. `requests` are the paths that were asked for."""

    def __init__(self, directory: Path, credentials: tuple[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.requests: list[str] = []
        self._credentials = credentials
        super().__init__(_handler(self))

    def commit(self, name: str, files: Mapping[str, str], *, tag: str | None = None) -> str:
        """Hash of a new commit of the repository `name`, with `files` written over the last one's."""
        work, bare = self.directory / "work" / name, self.directory / f"{name}.git"
        if not work.is_dir():
            work.mkdir(parents=True)
            _git(work, "init", "--quiet", "--initial-branch", "main")
            _git(self.directory, "init", "--quiet", "--bare", "--initial-branch", "main", str(bare))
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        _git(work, "add", "--all")
        _git(work, *_IDENTITY, "commit", "--quiet", "--message", "Change")
        if tag is not None:
            _git(work, "tag", tag)
        _git(work, "push", "--quiet", "--tags", str(bare), "main")
        return _git(work, "rev-parse", "HEAD").strip()

    def answer(self, path: str, *, headers: Mapping[str, str], method: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body for a request."""
        self.requests.append(path)
        if self._credentials is not None:
            expected = base64.b64encode(":".join(self._credentials).encode()).decode()
            if headers.get("Authorization") != f"Basic {expected}":
                return 401, "text/plain", b"who are you"
        parts = urlsplit(path)
        # The variables of a CGI program (RFC 3875, section 4.1).
        variables = {
            "GIT_PROJECT_ROOT": str(self.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": method,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
        }
        command = ["git", "http-backend"]
        result = subprocess.run(command, input=body, env={**os.environ, **variables}, capture_output=True, check=True)
        head, _, content = result.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(fields.get("Status", "200").split()[0]), fields.get("Content-Type", "text/plain"), content


def _git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def _handler(server: GitServer) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self._chunks() if self.headers.get("Transfer-Encoding") == "chunked" else self._whole())

        def _whole(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))

        def _chunks(self) -> bytes:
            """RFC 9112, section 7.1."""
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, body: bytes) -> None:
            headers = {name.title(): value for name, value in self.headers.items()}
            status, kind, content = server.answer(self.path, headers=headers, method=self.command, body=body)
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
