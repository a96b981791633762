"""A blob on its way to a registry (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode, urljoin

from lifecycle.cnb.errors import printable
from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.errors import BlobMismatch
from lifecycle.registry.client import ATTEMPTS, FIRST_DELAY_S, PassingFailure, Question, RegistryClient, Repository
from lifecycle.registry.errors import AccessDenied, LoginNeeded, LoginRefused, NoSuchImage, UnexpectedAnswer
from lifecycle.registry.http import Response

# Small enough that the time limit of one piece tells a slow connection from one that has died
_PIECE_SIZE = 64 * 1024
PUSH = ("pull", "push")


class How(Enum):
    """How a blob came to be in a repository."""

    UPLOADED = "uploaded"
    PRESENT = "present"
    MOUNTED = "mounted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What is put there: a file or a document. `what` is for messages."""

    descriptor: Descriptor
    content: Path | bytes
    what: str

    def open(self) -> BinaryIO:
        """Return its bytes, from the beginning. Raises `OSError`."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")


class Unreadable(Exception):
    """A blob cannot be read on this machine; `error` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Upload:
    """One blob on its way to one repository. `image` is what errors call the image that it belongs to."""

    def __init__(
        self,
        client: RegistryClient,
        repository: Repository,
        blob: Blob,
        image: str,
        on_progress: Callable[[int], object] | None,
    ) -> None:
        self._client = client
        self._repository = repository
        self._blob = blob
        self._image = image
        self._on_progress = on_progress
        self._told = 0

    def run(self, *, sources: tuple[str, ...], is_trusted: bool) -> How:
        """Bring the blob there, and return how; `sources` are repositories of the registry that may have it.

        Where the registry is not trusted, it is sent whatever the registry says to have.

        Raises:
            RegistryError: the registry does not take it.
            OciError: the blob is not what its descriptor says.
            OSError: it cannot be read.
        """
        delay, failures = FIRST_DELAY_S, 0
        while True:
            try:
                how = self._bring(sources, is_trusted=is_trusted)
            except PassingFailure as err:
                failures += 1
                if failures >= min(ATTEMPTS, err.attempts):
                    raise err.error from err
                self._client.wait(err.wait_s(delay), err.reason)
                delay *= 2
            except Unreadable as err:
                raise err.error from err
            else:
                self._tell(self._blob.descriptor.size)
                return how

    def _bring(self, sources: tuple[str, ...], *, is_trusted: bool) -> How:
        if is_trusted and self._is_there():
            return How.PRESENT
        for source in sources if is_trusted else ():
            if self._mount(source):
                return How.MOUNTED
        self._send(self._start())
        return How.UPLOADED

    def _is_there(self) -> bool:
        descriptor = self._blob.descriptor
        question = Question(
            method="HEAD", path=f"blobs/{descriptor.digest}", actions=PUSH, what=self._blob.what, limit=0
        )
        try:
            response = self._repository.ask(question, image=self._image)
        except (NoSuchImage, AccessDenied, UnexpectedAnswer):
            # Who may only write is not told. If nothing is allowed, the upload says so.
            return False
        size = response.header("Content-Length")
        return size is None or size == str(descriptor.size)

    def _mount(self, source: str) -> bool:
        """Whether the registry has put the blob there from another repository."""
        query = urlencode({"mount": str(self._blob.descriptor.digest), "from": source})
        question = Question(
            method="POST", path=f"blobs/uploads/?{query}", actions=PUSH, source=source, what="repository", limit=1 << 16
        )
        try:
            response = self._repository.ask(question, image=self._image)
        except (NoSuchImage, AccessDenied, LoginNeeded, LoginRefused, UnexpectedAnswer):
            return False
        if response.status != 201:
            return False
        self._check_digest(response)
        return True

    def _start(self) -> str:
        """Where the upload goes on."""
        question = Question(method="POST", path="blobs/uploads/", actions=PUSH, what="repository", limit=1 << 16)
        return self._place(self._repository.ask(question, image=self._image))

    def _place(self, response: Response) -> str:
        try:
            return urljoin(response.url, response.header("Location") or "")
        except ValueError as err:
            raise self._unexpected("names a place for the upload that is no URL") from err

    def _send(self, place: str) -> None:
        descriptor = self._blob.descriptor
        separator = "&" if "?" in place else "?"
        question = Question(
            method="PUT",
            path="blobs/uploads/",
            url=f"{place}{separator}{urlencode({'digest': str(descriptor.digest)})}",
            actions=PUSH,
            headers={"Content-Type": "application/octet-stream"},
            body=_Rest(self._blob, 0, self._note),
            what=self._blob.what,
            takes_long=True,
            limit=1 << 16,
        )
        self._check_digest(self._repository.ask_once(question, image=self._image))

    def _check_digest(self, response: Response) -> None:
        """Raise `UnexpectedAnswer` where the registry has stored something else."""
        said, digest = response.header("Docker-Content-Digest"), self._blob.descriptor.digest
        if said is not None and said.startswith(f"{digest.algorithm}:") and said != str(digest):
            raise self._unexpected(f"has stored `{printable(said)[:100]}` for `{digest}`")

    def _unexpected(self, reason: str) -> UnexpectedAnswer:
        return self._repository.unexpected(reason, self._image, is_push=True)

    def _note(self, position: int) -> None:
        self._client.check_time(0)
        self._tell(position)

    def _tell(self, position: int) -> None:
        """Tell of progress up to `position`; what is sent again is none."""
        if position > self._told:
            if self._on_progress is not None:
                self._on_progress(position - self._told)
            self._told = position


class _Rest:
    """What of a blob stands behind `start`, and only if all of it is what its descriptor says."""

    def __init__(self, blob: Blob, start: int, on_position: Callable[[int], object]) -> None:
        self._blob = blob
        self._start = start
        self._on_position = on_position

    def __len__(self) -> int:
        return self._blob.descriptor.size - self._start

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. The last one is given only when the whole blob is known to be right; raises `BlobMismatch`, `Unreadable`."""
        descriptor = self._blob.descriptor
        digest = hashlib.new(descriptor.digest.algorithm, usedforsecurity=False)
        position = 0
        held = b""
        for piece in self._pieces():
            digest.update(piece)
            position += len(piece)
            if position > descriptor.size:
                break
            if held:
                yield held
                self._on_position(position - len(piece))
            held = piece[max(0, len(piece) - (position - self._start)) :] if position > self._start else b""
        if position != descriptor.size or digest.hexdigest() != descriptor.digest.hex:
            found = f"{descriptor.digest.algorithm}:{digest.hexdigest()}" if position == descriptor.size else None
            raise BlobMismatch(
                subject=self._blob.what,
                expected_digest=str(descriptor.digest),
                found_digest=found,
                expected_size=descriptor.size,
                found_size=position,
            )
        yield held

    def _pieces(self) -> Iterator[bytes]:
        try:
            with self._blob.open() as stream:
                while piece := stream.read(_PIECE_SIZE):
                    yield piece
        except OSError as err:
            raise Unreadable(err) from err
