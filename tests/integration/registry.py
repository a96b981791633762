"""Debian's docker-registry on 127.0.0.1, started and stopped by a test, and what a test needs beside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.loopback import Certificates

_PROGRAM = "docker-registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A running registry."""

    host: str
    """`127.0.0.1:PORT`."""
    directory: Path
    login: tuple[str, str] | None = None
    certificates: Certificates | None = None

    @property
    def log(self) -> str:
        """What it has written, its access log included."""
        return (self.directory / "log").read_text(errors="replace")

    def digests(self, repository: str) -> list[str]:
        """Digests of the manifests of a repository."""
        revisions = (
            self.directory / "images/docker/registry/v2/repositories" / repository / "_manifests/revisions/sha256"
        )
        return sorted(f"sha256:{path.name}" for path in revisions.iterdir())

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob, as its API gives it."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"/v2/{repository}/blobs/{digest}")
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            return answer.read()

    def push(self, source: str, name: str) -> str:
        """Put an image there with skopeo; the reference that names it."""
        reference = f"{self.host}/{name}"
        command = ["skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false"]
        command += [] if self.login is None else ["--dest-creds", ":".join(self.login)]
        subprocess.run([*command, source, f"docker://{reference}"], check=True, env=_without_proxies())
        return reference

    def config_file(self, directory: Path) -> Path:
        """A file such as `docker login` writes, with the credentials of this registry."""
        import base64

        assert self.login is not None
        directory.mkdir(parents=True, exist_ok=True)
        auth = base64.b64encode(":".join(self.login).encode()).decode()
        path = directory / "config.json"
        path.write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))
        return path


@contextlib.contextmanager
def start_registry(
    directory: Path,
    *,
    login: tuple[str, str] | None = None,
    certificates: Certificates | None = None,
    token_auth: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Registry]:
    """A registry that keeps its images in `directory`; with basic auth, TLS or a token server's word if they are given."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "of the tests"}
    if certificates is not None:
        http["tls"] = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "images")}, "delete": {"enabled": True}},
        "http": http,
    }
    if login is not None:
        (directory / "htpasswd").write_text(_htpasswd(login))
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    elif token_auth is not None:
        config["auth"] = {"token": dict(token_auth)}
    # JSON is YAML.
    (directory / "config.yml").write_text(json.dumps(config))
    with (directory / "log").open("ab") as log:
        # The kernel ends the registry with this process, also when that is killed.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", _PROGRAM, "serve", str(directory / "config.yml")],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        registry = Registry(host=f"127.0.0.1:{port}", directory=directory, login=login, certificates=certificates)
        _wait_until_ready(port, process, directory / "log")
        yield registry
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _htpasswd(login: tuple[str, str]) -> str:
    command = ["htpasswd", "-Bbn", *login]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"the registry ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the registry does not answer:\n{log.read_text()}"
        time.sleep(0.05)


def _without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
