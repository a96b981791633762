"""Pulls images: what a name stands for now, then its parts, each verified while it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.oci.config import ImageConfig, parse_config
from lifecycle.oci.descriptor import INDEX_TYPE, Descriptor, Platform
from lifecycle.oci.document import SIZE_LIMIT
from lifecycle.oci.errors import BlobMismatch, UnsupportedImage
from lifecycle.oci.image import Image, assemble_image
from lifecycle.oci.manifest import Manifest
from lifecycle.oci.verify import verify_content
from lifecycle.registry.blobs import BlobStore, Partial
from lifecycle.registry.client import ATTEMPTS, Question, RegistryClient, Repository, is_retried
from lifecycle.registry.errors import AccessDenied, NoSuchImage, PlatformMissing, UnexpectedAnswer
from lifecycle.registry.http import Response, Trouble, TroubleKind
from lifecycle.registry.manifest import (
    ACCEPTED_TYPES,
    choose_platform,
    fits,
    name_of,
    parse_image_manifest,
    platforms_of,
    read_type,
)

_TRANSFERS = 4
_INDEX_DEPTH = 4
_FIRST_DELAY_S = 1.0
# Bytes that an attempt must bring to be one that helps
_PROGRESS = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name stands for. `digest`: of the manifest or index that the name leads to, which pins it."""

    reference: Reference
    digest: Digest
    manifest: Manifest
    manifest_bytes: bytes
    config: ImageConfig
    config_bytes: bytes

    @property
    def size(self) -> int:
        """Bytes of the layers, compressed."""
        return sum(layer.size for layer in self.manifest.layers)


def resolve(
    client: RegistryClient, reference: Reference, wanted: Platform, blobs: BlobStore, *, attempts: int = ATTEMPTS
) -> Resolved:
    """Return what `reference` stands for on the platform `wanted`; documents that `blobs` has are not fetched again.

    Raises:
        RegistryError: the registry does not give it, or has it for other platforms only.
        OciError, ConfigurationError: it is not an image that can be used.
    """
    reference = reference.with_default_tag()
    return _Resolution(client.repository(reference), reference, wanted, blobs, attempts).run()


def pull(
    client: RegistryClient, resolved: Resolved, blobs: BlobStore, *, on_progress: Callable[[int], object] | None = None
) -> Image:
    """Return the image, whose layers are now in `blobs`. `on_progress` gets the bytes that came since it was last called.

    Raises:
        RegistryError: the registry does not give all of it.
        OciError: it gives something else.
        OSError: the disk is full.
    """
    repository = client.repository(resolved.reference)
    # The same layer twice is one transfer.
    layers = {(layer.digest, layer.size): layer for layer in resolved.manifest.layers}
    missing = [layer for layer in layers.values() if not blobs.has(layer)]
    image = str(resolved.reference)
    _Transfer(client, repository, blobs, image, on_progress).run(missing)
    return assemble(resolved, blobs)


def assemble(resolved: Resolved, blobs: BlobStore) -> Image:
    """Return the image whose parts are all in `blobs`."""
    return assemble_image(
        manifest=resolved.manifest,
        config=resolved.config,
        paths=[blobs.path(layer.digest) for layer in resolved.manifest.layers],
        manifest_bytes=resolved.manifest_bytes,
        config_bytes=resolved.config_bytes,
        source=str(resolved.reference),
    )


class _Resolution:
    """The way from a name to the documents of an image."""

    def __init__(
        self, repository: Repository, reference: Reference, wanted: Platform, blobs: BlobStore, attempts: int
    ) -> None:
        self._repository = repository
        self._wanted = wanted
        self._blobs = blobs
        self._attempts = attempts
        self._reference = reference
        self._image = str(reference)

    def run(self) -> Resolved:
        top = self._reference.digest or self._find_digest()
        try:
            content, media_type = self._document(top)
        except NoSuchImage:
            if self._reference.digest is not None:
                raise
            # The tag may have been moved, and the old image removed, since the registry was asked.
            top = self._fetch_tag()
            content, media_type = self._document(top)
        for _ in range(_INDEX_DEPTH):
            if media_type != INDEX_TYPE:
                break
            content, media_type = self._document(self._choose(content).digest)
        if media_type == INDEX_TYPE:
            raise UnsupportedImage(self._image, f"is an index of indexes, more than {_INDEX_DEPTH} deep")
        manifest = parse_image_manifest(content, source=self._image)
        config_bytes = self._blob(manifest.config)
        config = parse_config(config_bytes, source=f"{self._image}: config")
        self._check_platform(config)
        return Resolved(
            reference=self._reference,
            digest=top,
            manifest=manifest,
            manifest_bytes=content,
            config=config,
            config_bytes=config_bytes,
        )

    def _find_digest(self) -> Digest:
        """What the tag points to. HEAD, because registries that count pulls do not count that."""
        try:
            response = self._ask_manifest("HEAD", str(self._reference.tag))
        except (AccessDenied, NoSuchImage, UnexpectedAnswer):
            # Some know GET only, and the others say why.
            return self._fetch_tag()
        said = response.header("Docker-Content-Digest")
        # If it is not true, what it names is not found, or its content does not fit.
        return self._fetch_tag() if said is None else self._parse_digest(said)

    def _fetch_tag(self) -> Digest:
        """Digest of what the tag points to, after that was fetched."""
        response = self._ask_manifest("GET", str(self._reference.tag))
        content = response.content
        digest = Digest.of(content)
        said = response.header("Docker-Content-Digest")
        if said is not None and self._parse_digest(said) not in (
            digest,
            Digest("sha512", hashlib.sha512(content).hexdigest()),
        ):
            raise self._repository.unexpected(f"calls a manifest `{said}` that is `{digest}`", self._image)
        self._keep(digest, content, response.header("Content-Type"))
        return digest

    def _parse_digest(self, text: str) -> Digest:
        try:
            return Digest.parse(text)
        except InvalidValue as err:
            raise self._repository.unexpected("names a digest that is none", self._image) from err

    def _document(self, digest: Digest) -> tuple[bytes, str]:
        """A manifest or an index, and which of them it is."""
        content = self._blobs.read(digest)
        if content is not None:
            return content, read_type(content, None, source=self._image)
        response = self._ask_manifest("GET", str(digest))
        content = response.content
        descriptor = Descriptor(media_type="", digest=digest, size=len(content))
        verify_content(content, descriptor, subject=f"manifest {digest} of {self._image}")
        return content, self._keep(digest, content, response.header("Content-Type"))

    def _keep(self, digest: Digest, content: bytes, content_type: str | None) -> str:
        media_type = read_type(content, content_type, source=self._image)
        self._blobs.write(digest, content)
        return media_type

    def _choose(self, index: bytes) -> Descriptor:
        entries = platforms_of(index, source=self._image)
        chosen = choose_platform(entries, self._wanted)
        if chosen is None:
            found = dict.fromkeys(name_of(entry.platform) for entry in entries if entry.platform is not None)
            raise PlatformMissing(image=self._image, wanted=name_of(self._wanted), available=tuple(found))
        return chosen

    def _check_platform(self, config: ImageConfig) -> None:
        found = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        if not fits(found, self._wanted):
            raise PlatformMissing(image=self._image, wanted=name_of(self._wanted), available=(name_of(found),))

    def _blob(self, descriptor: Descriptor) -> bytes:
        content = self._blobs.read(descriptor.digest)
        if content is None:
            if descriptor.size > SIZE_LIMIT:
                raise UnsupportedImage(self._image, f"has a config of {descriptor.size} bytes")
            question = Question(
                method="GET",
                path=f"blobs/{descriptor.digest}",
                what="config",
                limit=SIZE_LIMIT,
                attempts=self._attempts,
            )
            response = self._repository.ask(question, image=self._image)
            content = response.content
            verify_content(content, descriptor, subject=f"config of {self._image}")
            self._blobs.write(descriptor.digest, content)
        return verify_content(content, descriptor, subject=f"config of {self._image}")

    def _ask_manifest(self, method: str, name: str) -> Response:
        headers = {"Accept": ", ".join(ACCEPTED_TYPES)}
        question = Question(
            method=method, path=f"manifests/{name}", headers=headers, limit=SIZE_LIMIT, attempts=self._attempts
        )
        return self._repository.ask(question, image=self._image)


class _Transfer:
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

    def run(self, layers: list[Descriptor]) -> None:
        if not layers:
            return
        with ThreadPoolExecutor(_TRANSFERS) as pool:
            tasks = [pool.submit(self._fetch, layer) for layer in layers]
            try:
                done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
                for task in done:
                    task.result()
            except BaseException:
                for task in tasks:
                    task.cancel()
                with self._client.interrupted():
                    wait(tasks)
                raise

    def _fetch(self, layer: Descriptor) -> None:
        with self._blobs.partial(layer.digest, while_waiting=self._check) as partial:
            if partial is None:
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
        delay, failures = _FIRST_DELAY_S, 0
        while partial.size < layer.size:
            before = partial.size
            try:
                self._append(layer, partial)
                return
            except Trouble as err:
                # A transfer that comes forward is not given up.
                has_come_forward = partial.size - before >= _PROGRESS
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
