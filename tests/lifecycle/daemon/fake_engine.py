"""The part of a Docker engine's API that images go through, for what a real engine does only when something is wrong with it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback import LoopbackServer, QuietHandler

Answer = tuple[int, object]


@dataclass
class Loaded:
    """An image of the engine."""

    diff_ids: list[str]
    names: list[str]


class FakeEngine(LoopbackServer):
    """An engine on 127.0.0.1. `images` are by id; it registers layers in chains, as engines do that unpack them."""

    def __init__(self) -> None:
        self.images: dict[str, Loaded] = {}
        self.requests: list[str] = []
        self.archives: list[list[str]] = []
        """Names in the archives that were loaded."""
        self.refused_names: set[str] = set()
        self.driver_status: list[list[str]] = [["Backing Filesystem", "extfs"]]
        self.on_load: Callable[[QuietHandler], Answer | None] = lambda _: None
        """Answers instead of the engine, unless it returns `None`; the archive is still to be read."""
        super().__init__(_handler(self))

    @property
    def env(self) -> Mapping[str, str]:
        """What leads there."""
        return {"DOCKER_HOST": f"tcp://{self.host}"}

    def identify(self, name: str) -> str | None:
        """The id that `name` is, or is a name of."""
        return next((one for one, image in self.images.items() if name == one or name in image.names), None)

    def load(self, archive: bytes) -> Answer:
        """Take an archive, or say in a good answer what is wrong with it, as engines do."""
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            self.archives.append(opened.getnames())
            (entry,) = json.loads(_read(opened, "manifest.json"))
            config = json.loads(_read(opened, entry["Config"]))
            diff_ids = config["rootfs"]["diff_ids"]
            for number, layer in enumerate(entry["Layers"]):
                is_known = any(one.diff_ids[: number + 1] == diff_ids[: number + 1] for one in self.images.values())
                if not is_known and layer not in opened.getnames():
                    reason = f"open /tmp/{layer}: no such file or directory"
                    return 200, {"error": reason, "errorDetail": {"message": reason}}
        identity = "sha256:" + entry["Config"].rpartition("/")[2]
        self.images[identity] = Loaded(diff_ids, [])
        return 200, {"stream": f"Loaded image ID: {identity}\n"}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()


def _handler(engine: FakeEngine) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            path = self._path()
            if path == "/version":
                self.answer_json(200, {"ApiVersion": "1.41"})
            elif path == "/info":
                self.answer_json(200, {"DriverStatus": engine.driver_status})
            elif path == "/images/json":
                self.answer_json(200, [{"Id": identity} for identity in engine.images])
            elif (identity := engine.identify(path.removeprefix("/images/").removesuffix("/json"))) is not None:
                image = engine.images[identity]
                self.answer_json(200, {"Id": identity, "RootFS": {"Layers": image.diff_ids}, "RepoTags": image.names})
            else:
                self.answer_json(404, {"message": "No such image"})

        def do_POST(self) -> None:
            path = self._path()
            if path == "/images/load":
                answer = engine.on_load(self)
                self.answer_json(*(answer or engine.load(self.body())))
            else:
                query = parse_qs(urlsplit(self.path).query)
                name = f"{query['repo'][0]}:{query['tag'][0]}"
                if name in engine.refused_names:
                    self.answer_json(500, {"message": "no"})
                    return
                engine.images[path.split("/")[2]].names.append(name)
                self.answer_json(201, None)

        def do_DELETE(self) -> None:
            del engine.images[self._path().split("/")[2]]
            self.answer_json(200, [])

        def body(self) -> bytes:
            """What comes in chunks."""
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            return content + self.rfile.readline()[2:]

        def _path(self) -> str:
            path = unquote(urlsplit(self.path).path)
            path = "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
            engine.requests.append(f"{self.command} {path}")
            return path

    return Handler
