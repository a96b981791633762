"""A package index of the test's own: wheels and sdists made on the spot, served over HTTP on 127.0.0.1."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import textwrap
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.loopback import LoopbackServer, QuietHandler

_SLEEPING_BACKEND = """
    import os, sys, time
    def get_requires_for_build_wheel(config_settings=None):
        return []
    def build_wheel(directory, config_settings=None, metadata_directory=None):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        print("asleep", file=sys.stderr, flush=True)
        time.sleep(600)
"""


def project_of_backend(name: str, backend: str) -> dict[str, str]:
    """The files of version 1.0 of a project whose build backend is its own module `backend`; it needs no package to be built."""
    pyproject = f"""
        [build-system]
        requires = []
        build-backend = "backend"
        backend-path = ["."]
        [project]
        name = "{name}"
        version = "1.0"
    """
    return {"pyproject.toml": pyproject, "backend.py": backend}


def write_wheel(
    directory: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """A pure wheel of `name`; without `files` it is one module that has `VERSION`."""
    content = dict(files or {f"{name}.py": f"VERSION = {version!r}\n"})
    info = f"{name}-{version}.dist-info"
    requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}"
    content[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content[f"{info}/RECORD"] = "".join(
        f"{path},sha256={_record_hash(text)},{len(text.encode())}\n" for path, text in content.items()
    )
    content[f"{info}/RECORD"] += f"{info}/RECORD,,\n"
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def write_sdist(directory: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
    """A source distribution with `files` and a PKG-INFO."""
    root = f"{name}-{version}"
    content = {**files, "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    path = directory / f"{root}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in content.items():
            data = textwrap.dedent(text).encode()
            entry = tarfile.TarInfo(f"{root}/{member}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def write_sleeper(directory: Path) -> None:
    """A source distribution whose build says that it is asleep and never ends; nor does a child of it, in a session of its own."""
    write_sdist(directory, "sleeper", "1.0", project_of_backend("sleeper", _SLEEPING_BACKEND))


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, as `--hash=sha256:…` takes it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


_INDEX_VARIABLES = (
    "PIP_FIND_LINKS",
    "PIP_EXTRA_INDEX_URL",
    "PIP_NO_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
)


class PackageIndex(LoopbackServer):
    """An index (https://packaging.python.org/en/latest/specifications/simple-repository-api/) of the files in a directory.

    With `credentials` it answers only who sends them. `requests` are the paths that were asked for.
    """

    def __init__(self, directory: Path, credentials: tuple[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.requests: list[str] = []
        self._credentials = credentials
        super().__init__(_handler(self))

    @property
    def url(self) -> str:
        """The simple index, with the credentials it asks for."""
        user = ":".join(self._credentials) + "@" if self._credentials else ""
        return f"http://{user}{self.host}/simple/"

    def settings(self) -> dict[str, str | None]:
        """Environment that makes this the only index: nothing of the machine's own settings and proxies counts."""
        proxies = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        cleared = dict.fromkeys((*_INDEX_VARIABLES, *proxies))
        return {**cleared, "PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", "PIP_INDEX_URL": self.url}

    def answer(self, path: str, authorization: str | None) -> tuple[int, str, bytes]:
        """Status, content type and body for a GET of `path`."""
        self.requests.append(path)
        if self._credentials and authorization != f"Basic {_basic(self._credentials)}":
            return 401, "text/plain", b"who are you"
        parts = [unquote(part) for part in urlsplit(path).path.split("/") if part]
        if len(parts) == 2 and parts[0] == "simple":
            links = [
                f'<a href="/files/{file.name}#sha256={sha256_of(file)}">{file.name}</a><br>'
                for file in sorted(self.directory.iterdir())
                if file.name.split("-")[0].replace("_", "-") == parts[1]
            ]
            return (200, "text/html", "\n".join(links).encode()) if links else (404, "text/plain", b"no such project")
        if len(parts) == 2 and parts[0] == "files" and (self.directory / parts[1]).is_file():
            return 200, "application/octet-stream", (self.directory / parts[1]).read_bytes()
        return 404, "text/plain", b"no such file"


def open_index(directory: Path) -> PackageIndex:
    """An index with three packages: `alpha` in two versions, `beta` that needs `alpha<2`, and `gamma`; it runs as long as its context."""
    index = PackageIndex(directory)
    write_wheel(directory, "alpha", "1.0", files={"alpha.py": "VERSION = '1.0'\n", "alpha_old.py": ""})
    write_wheel(directory, "alpha", "2.0")
    write_wheel(directory, "beta", "1.0", requires=["alpha<2"])
    write_wheel(directory, "gamma", "1.0")
    return index


def _basic(credentials: tuple[str, str]) -> str:
    return base64.b64encode(":".join(credentials).encode()).decode()


def _handler(index: PackageIndex) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            status, kind, body = index.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return Handler
