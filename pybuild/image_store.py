"""Images that builds start from, kept for the whole machine: `images/` of the store.

    blobs/   manifests, configs and layers by their digest, as in an OCI image layout
    names/   what a name stood for when its registry was last asked, and what an archive on disk became
    lock     held while images are taken; who wants to remove what nobody uses must have it alone

Names are asked for anew in every build; what they stood for is for the day when a registry cannot be reached. What is pinned by a
digest and is here is taken without asking: the store belongs to one user, who was allowed to have it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.reference import Reference
from lifecycle.cnb.toml import write_atomically
from lifecycle.oci.config import parse_config
from lifecycle.oci.descriptor import Platform, host_platform
from lifecycle.oci.image import Image, assemble_image
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import REGISTRY_PREFIX, Location, Transport, parse_location
from lifecycle.oci.manifest import parse_manifest
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import RateLimited, RegistryFailed, RegistryUnreachable
from lifecycle.registry.machine import open_registries
from lifecycle.registry.manifest import name_of
from lifecycle.registry.pull import Resolved, assemble, pull, resolve
from lifecycle.registry.question import ATTEMPTS
from pybuild.host import read_host_settings
from pybuild.machine import home_directory

_KEPT_S = 60 * 24 * 3600
# A registry that does not answer is given up sooner where the last build's image will do.
_ATTEMPTS_WITH_FALLBACK = 2


class PullLog(Protocol):
    """What of `pybuild.log.Log` is needed here."""

    def warning(self, line: str) -> None:
        """Show something that is likely to hurt."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Show that `title` is under way until the context ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image whose blobs are in the store. `digest`: of the manifest or index that its name leads to.

    `is_of_index`: it is one of several images of that name, for other platforms.
    """

    digest: Digest
    image: Image
    is_of_index: bool = False


def open_client(
    env: Mapping[str, str], *, insecure: tuple[str, ...] = (), deadline: Deadline = NEVER
) -> RegistryClient:
    """A client for registries with the machine's certificates, proxies and credentials.

    `insecure`, and `CNB_INSECURE_REGISTRIES`, name registries that need no TLS.
    """
    home = home_directory(env)
    host = read_host_settings(env, home)
    return open_registries(
        env, home, proxies=host.proxies, ca_bundle=host.ca_bundle, insecure=insecure, deadline=deadline
    )


def read_any_image(
    location: str,
    *,
    images: ImageStore,
    scratch: Path,
    platform: Platform | None = None,
) -> Image:
    """The image at `location`: `docker://NAME`, or one of the places of this machine that `lifecycle.oci.location` knows.

    Layers of archives are put into `scratch`, those from registries into the store.

    Raises:
        lifecycle.cnb.errors.CnbError: there is no such image, or it cannot be had or read.
    """
    if location.startswith(REGISTRY_PREFIX):
        return images.pull(Reference.parse(location.removeprefix(REGISTRY_PREFIX)), platform or host_platform()).image
    return read_image(location, scratch=scratch, platform=platform)


class ImageStore:
    """The images in `store / "images"`."""

    def __init__(self, store: Path, client: RegistryClient, log: PullLog) -> None:
        self._directory = store / "images"
        self._client = client
        client.on_wait = log.warning
        self._log = log
        self._blobs = BlobStore(directory=self._directory)

    def pull(self, reference: Reference, platform: Platform) -> KeptImage:
        """The image that `reference` names in its registry now, or named when that was last reached.

        Raises:
            lifecycle.cnb.errors.CnbError: it cannot be had.
            OSError: the disk is full.
        """
        reference = reference.with_default_tag()
        note = self._note("reference", str(reference), name_of(platform))
        with self._in_use():
            resolved = self._resolve(reference, platform, note)
            missing = [layer for layer in resolved.manifest.layers if not self._blobs.has(layer)]
            if missing:
                size = sum(layer.size for layer in missing)
                with self._log.step(f"pulling {resolved.reference} ({size / 1e6:.1f} MB)"):
                    image = pull(self._client, resolved, self._blobs)
            else:
                image = pull(self._client, resolved, self._blobs)
            self._remember(note, {"name": str(reference), "digest": str(resolved.digest), "asked": int(time.time())})
        if missing:
            self._forget_unused()
        return KeptImage(digest=resolved.digest, image=image, is_of_index=resolved.is_of_index)

    def look_up(self, reference: Reference, platform: Platform) -> KeptImage:
        """The image that `reference` names in its registry now. Layers that are not in the store already stay in the registry.

        Raises:
            lifecycle.cnb.errors.CnbError: it cannot be had.
        """
        with self._in_use():
            resolved = resolve(self._client, reference, platform, self._blobs)
        image = assemble(resolved, self._blobs)
        return KeptImage(digest=resolved.digest, image=image, is_of_index=resolved.is_of_index)

    def read(self, location: str) -> KeptImage:
        """The image at a place on this machine; what archives hold is unpacked once.

        Raises:
            lifecycle.cnb.errors.CnbError: there is none, or it is damaged.
            OSError: the disk is full.
        """
        place = parse_location(location)
        if place.transport is Transport.OCI:
            image = read_image(place)
            return KeptImage(digest=image.digest, image=image)
        note = self._note("archive", str(place.path.resolve()), place.name or "", *_fingerprint(place.path))
        with self._in_use():
            image = self._kept(note) or self._take_archive(place, note)
        return KeptImage(digest=image.digest, image=image)

    def _resolve(self, reference: Reference, platform: Platform, note: Path) -> Resolved:
        known = self._known(note, reference)
        attempts = ATTEMPTS if known is None else _ATTEMPTS_WITH_FALLBACK
        try:
            return resolve(self._client, reference, platform, self._blobs, attempts=attempts)
        except (RegistryUnreachable, RegistryFailed, RateLimited) as err:
            kept = None if known is None else self._resolve_kept(known, platform)
            if kept is None:
                raise
            self._log.warning(f"{err.summary}; taking what `{reference}` was when it was last asked for: {kept.digest}")
            return kept

    def _resolve_kept(self, known: Reference, platform: Platform) -> Resolved | None:
        with contextlib.suppress(CnbError):
            kept = resolve(self._client, known, platform, self._blobs, attempts=1)
            if all(self._blobs.has(layer) for layer in kept.manifest.layers):
                return kept
        return None

    def _known(self, note: Path, reference: Reference) -> Reference | None:
        """What a tag stood for when its registry was last asked."""
        values = _read_note(note)
        if values is None or reference.digest is not None:
            return None
        with contextlib.suppress(CnbError):
            digest = Digest.parse(str(values.get("digest")))
            return Reference(registry=reference.registry, repository=reference.repository, digest=digest)
        return None

    def _kept(self, note: Path) -> Image | None:
        """The image that an archive became, whole."""
        values = _read_note(note)
        if values is None:
            return None
        with contextlib.suppress(CnbError):
            manifest_bytes = self._blobs.read(Digest.parse(str(values.get("digest"))))
            if manifest_bytes is None:
                return None
            manifest = parse_manifest(manifest_bytes, source=str(note))
            config_bytes = self._blobs.read(manifest.config.digest)
            if config_bytes is None or not all(self._blobs.has(layer) for layer in manifest.layers):
                return None
            os.utime(note)
            return assemble_image(
                manifest=manifest,
                config=parse_config(config_bytes, source=str(note)),
                paths=[self._blobs.path(layer.digest) for layer in manifest.layers],
                manifest_bytes=manifest_bytes,
                config_bytes=config_bytes,
                source=str(note),
            )
        return None

    def _take_archive(self, place: Location, note: Path) -> Image:
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="archive-", dir=self._directory) as scratch:
            with self._log.step(f"reading {place}"):
                image = read_image(place, scratch=Path(scratch))
            for layer in image.layers:
                self._blobs.take(layer.descriptor, layer.path)
            self._blobs.write(image.id, image.config_bytes)
            self._blobs.write(image.digest, image.manifest_bytes)
        self._remember(note, {"name": str(place), "digest": str(image.digest)})
        kept = self._kept(note)
        if kept is None:
            raise AssertionError("the image was put into the store and is not there")
        return kept

    def _note(self, *parts: str) -> Path:
        key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self._directory / "names" / f"{key}.json"

    def _remember(self, note: Path, values: Mapping[str, object]) -> None:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps(values).encode())

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Nothing is removed as unused until the context ends; by then what was taken counts as used today."""
        with self._lock() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    def _forget_unused(self) -> None:
        with self._lock() as descriptor, contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._blobs.forget_unused(_KEPT_S)
            for note in self._directory.glob("names/*.json"):
                if time.time() - note.stat().st_mtime > _KEPT_S:
                    note.unlink()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _read_note(path: Path) -> Mapping[str, object] | None:
    try:
        values = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _fingerprint(path: Path) -> tuple[str, ...]:
    """What tells whether an archive is still the same."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return tuple(str(part) for part in (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
