"""Pulls images: what a name stands for now, then its parts, each verified while it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.oci.config import ImageConfig, parse_config
from lifecycle.oci.descriptor import INDEX_TYPE, Descriptor, Platform
from lifecycle.oci.document import SIZE_LIMIT
from lifecycle.oci.errors import UnsupportedImage
from lifecycle.oci.image import Image, assemble_image
from lifecycle.oci.manifest import Manifest
from lifecycle.oci.verify import verify_content
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import AccessDenied, NoSuchImage, PlatformMissing, UnexpectedAnswer
from lifecycle.registry.manifest import (
    ACCEPTED_TYPES,
    choose_platform,
    fits,
    name_of,
    parse_image_manifest,
    platforms_of,
    read_type,
)
from lifecycle.registry.question import ATTEMPTS, Question
from lifecycle.registry.repository import Repository
from lifecycle.registry.transfer import Transfer

if TYPE_CHECKING:
    from lifecycle.registry.http import Response

_INDEX_DEPTH = 4


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

    @property
    def is_of_index(self) -> bool:
        """Whether the name leads to several images, for several platforms."""
        content = hashlib.new(self.digest.algorithm, self.manifest_bytes, usedforsecurity=False)
        return content.hexdigest() != self.digest.hex


def resolve(
    client: RegistryClient,
    reference: Reference,
    wanted: Platform,
    blobs: BlobStore,
    *,
    attempts: int = ATTEMPTS,
    is_strict: bool = True,
) -> Resolved:
    """Return what `reference` stands for on the platform `wanted`; documents that `blobs` has are not fetched again.

    Unless it `is_strict`, the only image that there is may be for another platform.

    Raises:
        RegistryError: the registry does not give it, or has it for other platforms only.
        OciError, ConfigurationError: it is not an image that can be used.
    """
    reference = reference.with_default_tag()
    resolved = _Resolution(client.repository(reference), reference, wanted, blobs, attempts).run()
    if is_strict or resolved.is_of_index:
        _check_platform(resolved, wanted)
    return resolved


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
    Transfer(client, repository, blobs, image, on_progress).run(missing)
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


def _check_platform(resolved: Resolved, wanted: Platform) -> None:
    config = resolved.config
    found = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
    if not fits(found, wanted):
        raise PlatformMissing(image=str(resolved.reference), wanted=name_of(wanted), available=(name_of(found),))


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
