"""Layers on their way from a registry: several at once, verified while they come, continued where they broke off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lifecycle.oci.descriptor import Descriptor
from lifecycle.oci.errors import BlobMismatch
from lifecycle.registry.blobs import BlobStore, Partial
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.parallel import run_all
from lifecycle.registry.question import ATTEMPTS, Question
from lifecycle.registry.repository import Repository
from lifecycle.registry.trouble import Trouble, TroubleKind, is_retried

if TYPE_CHECKING:
    from lifecycle.registry.http import Response

_FIRST_DELAY_S = 1.0
# Bytes that an attempt must bring to be one that helps
_PROGRESS = 64 * 1024


class Transfer:
    """Layers on their way, several at once. The first that fails ends the others."""

    def __init__(
        self,
        client: RegistryClient,
        repository: Repository,
        blobs: BlobStore,
        image: str,
        on_progress: Callable[[int], object] | None,
    ) -> None:
        self._client = client
        self._repository = repository
        self._blobs = blobs
        self._image = image
        self._on_progress = on_progress
        self._lacks_room = False

    def run(self, layers: list[Descriptor]) -> None:
        """Bring `layers`, each once, into the store. Raises what `pull` raises."""
        run_all(self._client, self._fetch, layers)

    def _fetch(self, layer: Descriptor) -> None:
        with self._blobs.partial(layer.digest, while_waiting=self._check) as partial:
            if partial is None:
                return
            if self._blobs.has(layer):
                # Another process has brought it since this one looked.
                partial.discard()
                return
            partial.resume(layer.size)
            was_resumed = partial.size > 0
            try:
                self._fill(layer, partial)
                if partial.digest != layer.digest and was_resumed:
                    # What was left by an earlier transfer may have been damaged since.
                    partial.restart()
                    self._fill(layer, partial)
            except OSError:
                # What the others have begun would only take the room that is missing.
                self._lacks_room = True
                partial.discard()
                raise
            except BaseException:
                if self._lacks_room:
                    partial.discard()
                raise
            if (partial.digest, partial.size) != (layer.digest, layer.size):
                found = str(partial.digest) if partial.size == layer.size else None
                size = partial.size
                partial.discard()
                raise BlobMismatch(
                    subject=f"layer of {self._image}",
                    expected_digest=str(layer.digest),
                    found_digest=found,
                    expected_size=layer.size,
                    found_size=size,
                )
            partial.keep()

    def _fill(self, layer: Descriptor, partial: Partial) -> None:
        """Append until the layer has its size; after a break the rest is asked for."""
        delay, failures, furthest = _FIRST_DELAY_S, 0, partial.size
        while partial.size < layer.size:
            try:
                self._append(layer, partial)
                return
            except Trouble as err:
                # A transfer that comes forward is not given up.
                has_come_forward = partial.size - furthest >= _PROGRESS
                furthest = max(furthest, partial.size)
                failures = 1 if has_come_forward else failures + 1
                if not is_retried(err) or failures >= ATTEMPTS:
                    raise self._repository.error_of_trouble(err, self._image) from err
                self._client.pause(delay)
                delay = _FIRST_DELAY_S if has_come_forward else delay * 2

    def _check(self) -> None:
        self._client.check_time(0)

    def _append(self, layer: Descriptor, partial: Partial) -> None:
        headers = {"Range": f"bytes={partial.size}-"} if partial.size else {}
        question = Question(method="GET", path=f"blobs/{layer.digest}", headers=headers, what="layer")
        response = self._repository.ask(question, image=self._image)
        if partial.size and not _continues(response, partial.size):
            # Not every registry gives parts.
            partial.restart()
        for piece in response.pieces():
            self._check()
            if partial.size + len(piece) > layer.size:
                response.close()
                partial.write(piece[: layer.size + 1 - partial.size])
                return
            partial.write(piece)
            if self._on_progress is not None:
                self._on_progress(len(piece))
        if partial.size < layer.size:
            raise Trouble(TroubleKind.BROKEN, f"a layer ends after {partial.size} of {layer.size} bytes")


def _continues(response: Response, start: int) -> bool:
    return response.status == 206 and (response.header("Content-Range") or "").startswith(f"bytes {start}-")
