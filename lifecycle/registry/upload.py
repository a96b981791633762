"""A blob on its way to a registry (https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs).

A large blob is sent as Docker sends it, in one part that is as long as the blob: what has arrived of it when the connection breaks
need not be sent again, where the registry keeps that. Where it does not, or takes no parts, the blob is sent whole.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

from lifecycle.cnb.errors import printable
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import (
    AccessDenied,
    NoSuchImage,
    RegistryError,
    UnexpectedAnswer,
)
from lifecycle.registry.outgoing import Blob, Rest, Unreadable
from lifecycle.registry.question import ATTEMPTS, FIRST_DELAY_S, PassingFailure, Question
from lifecycle.registry.repository import Repository
from lifecycle.registry.request import Body

if TYPE_CHECKING:
    from lifecycle.registry.http import Response

PUSH = ("pull", "push")
ANSWER_LIMIT = 1 << 16
# What is sent with the request that ends an upload: one request less, and little to send again.
_SMALL = 256 * 1024
# What can be done without is not waited for as long.
_MOUNT_ATTEMPTS = 2
# Bytes that must have arrived of an attempt for it to be one that helps
_PROGRESS = 64 * 1024
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)
# Answers to parts that may be due to their being parts
_BEGIN_ANEW = frozenset({400, 404, 405, 415, 416, 501})


class How(Enum):
    """How a blob came to be in a repository."""

    UPLOADED = "uploaded"
    PRESENT = "present"
    MOUNTED = "mounted"


def begin(repository: Repository, image: str) -> Response:
    """Begin an upload and return the answer, which says where it goes on. Raises `RegistryError`."""
    question = Question(
        method="POST", path="blobs/uploads/", actions=PUSH, what="repository", body=b"", limit=ANSWER_LIMIT
    )
    return repository.ask(question, image=image)


def place_of(response: Response) -> str | None:
    """Return where an upload goes on; `None` where the answer does not say it."""
    target = response.header("Location")
    try:
        return urljoin(response.url, target) if target else None
    except ValueError:
        return None


def cancel(repository: Repository, place: str | None, image: str) -> None:
    """Give an upload up that was begun, as far as the registry knows how to."""
    if place is not None:
        with contextlib.suppress(RegistryError):
            question = Question(method="DELETE", url=place, actions=PUSH, limit=ANSWER_LIMIT, attempts=1)
            repository.ask(question, image=image)


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
        self._failures = 0
        self._place = ""
        """Where the upload goes on that has begun."""
        self._arrived = self._furthest = 0
        self._least_part = _SMALL
        self._is_whole = False

    def run(self, *, sources: tuple[str, ...], is_trusted: bool) -> How:
        """Bring the blob there, and return how; `sources` are repositories of the registry that may have it.

        A registry that is not trusted is sent the blob, whatever it says to have.

        Raises:
            RegistryError: the registry does not take it.
            OciError: the blob is not what its descriptor says.
            OSError: it cannot be read.
        """
        while True:
            try:
                how = self._bring(sources, is_trusted=is_trusted)
            except PassingFailure as err:
                self._failures += 1
                if self._failures >= min(ATTEMPTS, err.attempts):
                    raise err.error from err
                self._client.wait(err.wait_s(FIRST_DELAY_S * 2 ** (self._failures - 1)), err.reason)
            except RegistryError as err:
                if not self._place or self._is_whole or err.status not in _BEGIN_ANEW:
                    raise
                self._is_whole, self._place = True, ""
            except Unreadable as err:
                raise err.error from err
            else:
                self._tell(self._size)
                return how

    def _bring(self, sources: tuple[str, ...], *, is_trusted: bool) -> How:
        if not self._go_on():
            if is_trusted and self._is_there():
                # After a break it may be there because all of it had arrived.
                return How.UPLOADED if self._told else How.PRESENT
            if is_trusted and any(self._mount(source) for source in sources):
                return How.MOUNTED
            if not self._place:
                self._take_place(begin(self._repository, self._image))
        if self._size - self._arrived > self._least_part and not self._is_whole:
            self._send_part()
        self._finish()
        return How.UPLOADED

    def _is_there(self) -> bool:
        digest = self._blob.descriptor.digest
        question = Question(method="HEAD", path=f"blobs/{digest}", actions=PUSH, what=self._blob.what, limit=0)
        try:
            response = self._repository.ask(question, image=self._image)
        except (NoSuchImage, AccessDenied, UnexpectedAnswer):
            # Who may only write is told nothing. If nothing is allowed, the upload says so.
            return False
        return response.header("Content-Length") in (None, str(self._size))

    def _mount(self, source: str) -> bool:
        """Whether the registry has put the blob there from another repository; else it may have begun an upload."""
        query = urlencode({"mount": str(self._blob.descriptor.digest), "from": source})
        question = Question(
            method="POST",
            path=f"blobs/uploads/?{query}",
            actions=PUSH,
            source=source,
            what="repository",
            body=b"",
            limit=ANSWER_LIMIT,
            attempts=_MOUNT_ATTEMPTS,
        )
        try:
            response = self._repository.ask(question, image=self._image)
        except RegistryError:
            # Whatever it has against that, it may still take the blob.
            return False
        if response.status == HTTPStatus.CREATED:
            self._check_digest(response)
            return True
        if self._place:
            cancel(self._repository, self._place, self._image)
        self._take_place(response)
        return False

    def _take_place(self, begun: Response) -> None:
        place = place_of(begun)
        if place is None:
            raise self._unexpected("does not say where an upload goes on")
        self._place, self._arrived = place, 0
        least = begun.header("OCI-Chunk-Min-Length") or ""
        self._least_part = max(_SMALL, int(least[:18]) if least.isascii() and least.isdigit() else 0)

    def _go_on(self) -> bool:
        """Whether an upload that has begun can be continued; how much of it has arrived is known then."""
        place, self._place = self._place, ""
        if not place or self._is_whole:
            return False
        question = Question(method="GET", url=place, actions=PUSH, limit=ANSWER_LIMIT)
        try:
            response = self._repository.ask(question, image=self._image)
        except RegistryError:
            return False
        match = _RANGE.fullmatch(response.header("Range") or "")
        # `0-0` is said where one byte has arrived, and where none has.
        arrived = int(match[1]) + 1 if match is not None and match[1] != "0" else 0
        if arrived > self._size:
            return False
        if arrived - self._furthest >= _PROGRESS:
            # An upload that comes forward is not given up.
            self._furthest, self._failures = arrived, 1
        self._place, self._arrived = place_of(response) or place, arrived
        return True

    def _send_part(self) -> None:
        response = self._send("PATCH", self._place)
        self._place, self._arrived = place_of(response) or self._place, self._size

    def _finish(self) -> None:
        """Send what has not arrived, and end the upload."""
        separator = "&" if "?" in self._place else "?"
        query = urlencode({"digest": str(self._blob.descriptor.digest)})
        self._check_digest(self._send("PUT", f"{self._place}{separator}{query}"))

    def _send(self, method: str, url: str) -> Response:
        headers = {"Content-Type": "application/octet-stream"}
        if 0 < self._arrived < self._size:
            headers["Content-Range"] = f"{self._arrived}-{self._size - 1}"
        rest: bytes | Body = Rest(self._blob, self._arrived, self._note) if self._arrived < self._size else b""
        question = Question(
            method=method,
            url=url,
            actions=PUSH,
            headers=headers,
            body=rest,
            takes_long=True,
            what=self._blob.what,
            limit=ANSWER_LIMIT,
        )
        return self._repository.ask_once(question, image=self._image, attempt=self._failures + 1)

    def _check_digest(self, response: Response) -> None:
        """Raise `UnexpectedAnswer` where the registry has stored something else."""
        said, digest = response.header("Docker-Content-Digest"), self._blob.descriptor.digest
        if said is not None and said.startswith(f"{digest.algorithm}:") and said != str(digest):
            raise self._unexpected(f"has stored `{printable(said)[:100]}` for `{digest}`")

    def _unexpected(self, reason: str) -> UnexpectedAnswer:
        return self._repository.unexpected(reason, self._image, is_push=True)

    @property
    def _size(self) -> int:
        return self._blob.descriptor.size

    def _note(self, position: int) -> None:
        self._client.check_time(0)
        self._tell(position)

    def _tell(self, position: int) -> None:
        """Tell of progress up to `position`; what is sent again is none."""
        if position > self._told:
            if self._on_progress is not None:
                self._on_progress(position - self._told)
            self._told = position
