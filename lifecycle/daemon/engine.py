"""One Docker engine: what it has, images into it, names for them, images out of it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.cnb.command import CommandTimeout, require_time
from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.connections import Connections
from lifecycle.daemon.errors import EngineFailed, EngineUnusable
from lifecycle.daemon.feed import Feed, Write
from lifecycle.oci.errors import ImageNotFound

if TYPE_CHECKING:
    from docker import APIClient

# To say what it is, an engine needs no time; one that unpacks a large layer says nothing for a while.
_ANSWER_S, _PATIENCE_S = 30, 600
# That of Docker's own command, where nothing else is said
_DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_PIECE_SIZE = 1 << 20
# https://docs.docker.com/engine/storage/containerd/: such an engine keeps blobs, not unpacked layers
_CONTAINERD = "io.containerd.snapshotter"


@contextlib.contextmanager
def open_engine(env: Mapping[str, str], *, deadline: Deadline = NEVER) -> Iterator[DockerEngine]:
    """The engine that the docker command would speak to, after it has answered.

    Raises:
        EngineUnusable: there is none, or this user may not use it.
        CommandTimeout: the deadline came before its answer.
    """
    # Loading it takes a third of a second, which is for those who need it.
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    from lifecycle.daemon.client import EngineClient

    connections = Connections()
    timeout_s = math.ceil(max(1, min(_PATIENCE_S, deadline.left_s())))
    address = env.get("DOCKER_HOST") or _DEFAULT_ADDRESS
    try:
        # For no variables at all the library would take those of this process.
        options = kwargs_from_env(environment={**env, "DOCKER_HOST": env.get("DOCKER_HOST", "")})
        if "base_url" not in options:
            name = env.get("DOCKER_CONTEXT") or None
            if ContextAPI.get_context(name) is None:
                # The library would go on with the engine of this machine.
                address = f"the context `{name or 'current'}`"
                raise LookupError("there is no such context")
            options = {**ContextAPI.kwargs_from_context(name, environment=env), **options}
        address = options.get("base_url", address)
        if address.startswith("ssh:"):
            raise LookupError(
                "pybuild does not speak ssh; `ssh -L SOCKET:/var/run/docker.sock HOST` brings the engine here"
            )
        with deadline.ending(connections.end):
            client = EngineClient(connections, **options, timeout=min(_ANSWER_S, timeout_s))
    except Exception as err:  # of a damaged context the library says no more than that
        require_time(deadline, "docker")
        cause = _cause(err)
        raise EngineUnusable(address=address, reason=_say(cause), is_denied=isinstance(cause, PermissionError)) from err
    client.timeout = timeout_s
    try:
        with deadline.ending(connections.end):
            yield DockerEngine(client, address, deadline)
    finally:
        client.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineImage:
    """What an engine says of an image."""

    identity: Digest
    os: str
    architecture: str
    variant: str | None
    labels: Mapping[str, str]


class DockerEngine:
    """An engine that answers. Made by `open_engine`."""

    def __init__(self, client: APIClient, address: str, deadline: Deadline) -> None:
        self.address = address
        """Where it is, for people."""
        self._client = client
        self._deadline = deadline

    def identify(self, reference: Reference) -> Digest:
        """Return the id of the image that has a name.

        Raises:
            ImageNotFound: the engine has no such image.
            EngineFailed: it does not say.
        """
        return Digest.parse(str(self._find(str(reference))["Id"]))

    def describe(self, name: str) -> EngineImage | None:
        """Return what the engine knows of an image by its name or id; `None`: it has none. Raises `EngineFailed`."""
        found = self._inspect(name)
        if found is None:
            return None
        config = found.get("Config")
        labels = config.get("Labels") if isinstance(config, dict) else None
        return EngineImage(
            identity=Digest.parse(str(found["Id"])),
            os=str(found.get("Os") or ""),
            architecture=str(found.get("Architecture") or ""),
            variant=str(found.get("Variant") or "") or None,
            labels=labels if isinstance(labels, dict) else {},
        )

    def has(self, identity: Digest) -> bool:
        """Return whether there is an image of that id. Raises `EngineFailed`."""
        return self._inspect(str(identity)) is not None

    def count_layers(self, diff_ids: Sequence[Digest]) -> int:
        """Return how many of the first of `diff_ids` an image of the engine begins with. Raises `EngineFailed`.

        An engine that keeps blobs instead of unpacked layers has none of them.
        """
        wanted = [str(diff_id) for diff_id in diff_ids]
        with self._asking("listing its images"):
            status = self._client.info().get("DriverStatus") or []
            if any(_CONTAINERD in str(word) for line in status for word in line):
                return 0
            identities = self._client.images(quiet=True)
        return max((_common(wanted, self._layers_of(identity)) for identity in identities), default=0)

    def load(self, write_all: Callable[[Write], None]) -> None:
        """Put the image of the archive that `write_all` writes into the engine, without a name unless the archive has one.

        Raises:
            EngineFailed: the engine does not take it.
            CommandTimeout: the deadline came first.
        """
        doing = "loading the image"
        feed = Feed(write_all)
        try:
            with self._asking(doing):
                for document in self._client.load_image(self._before_deadline(feed)):  # type: ignore[no-untyped-call]
                    reason = document.get("error") or document.get("message")
                    if reason:
                        raise EngineFailed(address=self.address, doing=doing, reason=str(reason))
        except (EngineFailed, CommandTimeout):
            # What cannot be read on this machine is no fault of the engine.
            if feed.failure is not None:
                raise feed.failure from None
            raise
        finally:
            feed.stop()

    def tag(self, identity: Digest, reference: Reference) -> None:
        """Let `reference` name an image. Raises `EngineFailed`."""
        with self._asking(f"naming the image `{reference}`"):
            self._client.tag(str(identity), reference.name, reference.tag)

    def remove_nameless(self, identity: Digest) -> None:
        """Remove an image unless it has a name. Raises `EngineFailed`."""
        found = self._inspect(str(identity))
        if found is not None and not found.get("RepoTags"):
            with self._asking("removing the image"):
                self._client.remove_image(str(identity))

    def save(self, name: str, archive: Path) -> None:
        """Write the image `name` into a file as `docker save` makes it.

        Raises:
            ImageNotFound: the engine has no such image.
            EngineFailed: it does not give it.
            OSError: the file cannot be written.
        """
        self._find(name)
        with archive.open("wb") as output:
            pieces = iter(self._client.get_image(name, chunk_size=_PIECE_SIZE))
            while piece := self._next(pieces):
                output.write(piece)
                require_time(self._deadline, "docker")
        # A connection that was ended here can look like one that came to its end.
        require_time(self._deadline, "docker")

    def _next(self, pieces: Iterator[bytes]) -> bytes:
        with self._asking("saving the image"):
            return next(pieces, b"")

    def _find(self, name: str) -> Mapping[str, object]:
        found = self._inspect(name)
        if found is None:
            raise ImageNotFound(
                f"docker-daemon:{name}", "the Docker engine has no such image", "`docker images` lists those it has"
            )
        return found

    def _inspect(self, name: str) -> Mapping[str, object] | None:
        from docker.errors import APIError

        with self._asking("looking for an image"):
            try:
                found: Mapping[str, object] = self._client.inspect_image(name)  # type: ignore[no-untyped-call]
            except APIError as err:
                # 400 and 500 to what cannot be a name, depending on the engine's age
                if err.status_code == 404 or "invalid reference" in str(err.explanation):
                    return None
                raise
        return found

    def _layers_of(self, identity: str) -> Sequence[str]:
        # It may be gone since it was listed.
        found = self._inspect(identity) or {}
        root = found.get("RootFS")
        layers = root.get("Layers") if isinstance(root, dict) else None
        return layers if isinstance(layers, list) else []

    def _before_deadline(self, pieces: Feed) -> Iterator[bytes]:
        for piece in pieces:
            require_time(self._deadline, "docker")
            yield piece

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Raise `EngineFailed` where the library cannot do something, `CommandTimeout` where it took too long."""
        from docker.errors import APIError, DockerException, StreamParseError
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except APIError as err:
            reason = str(err.explanation or err)
            raise EngineFailed(address=self.address, doing=doing, reason=reason) from err
        except (DockerException, StreamParseError, RequestException, HTTPError) as err:
            require_time(self._deadline, "docker")
            raise EngineFailed(address=self.address, doing=doing, reason=_say(_cause(err))) from err


def _common(wanted: Sequence[str], there: Sequence[str]) -> int:
    count = 0
    for one, other in zip(wanted, there, strict=False):
        if one != other:
            break
        count += 1
    return count


def _cause(err: BaseException) -> BaseException:
    """What the system said at the bottom of an error, which libraries wrap in others; else the error."""
    seen: list[BaseException] = []
    found: BaseException | None = err
    while found is not None and found not in seen:
        seen.append(found)
        inner = [one for one in found.args if isinstance(one, BaseException)]
        found = inner[0] if inner else found.__cause__ or found.__context__
    said = [one for one in seen if isinstance(one, OSError)]
    return next((one for one in reversed(said) if one.strerror or isinstance(one, TimeoutError)), err)


def _say(err: BaseException) -> str:
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return " ".join(str(err).split()) or type(err).__name__
