"""The repository of one environment: in a registry, or an OCI layout of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.oci.alone import open_alone
from lifecycle.oci.artifact import Artifact, read_artifact
from lifecycle.oci.descriptor import REF_NAME_ANNOTATION, Descriptor
from lifecycle.oci.layout import INDEX_FILE, blob_path, read_index
from lifecycle.oci.layout_writer import open_layout
from lifecycle.oci.location import REGISTRY_PREFIX, Transport
from lifecycle.oci.verify import read_document, verify_content
from lifecycle.registry.artifacts import fetch_artifact, find_digest, list_tags, push_artifact, tag_artifact
from lifecycle.registry.client import RegistryClient


class TaggedArtifacts(Protocol):
    """Artifacts under tags. All methods raise `lifecycle.cnb.errors.CnbError` where the other side does not do it."""

    @property
    def location(self) -> str:
        """How images in it are named, without a tag."""

    def tags(self) -> frozenset[str]:
        """Return every tag whose `put` has returned, and perhaps some whose `put` has begun."""

    def get(self, tag: str) -> Artifact | None:
        """Return what the tag names; `None` where there is no such tag."""

    def put(self, artifact: Artifact, tag: str) -> None:
        """Let the tag name an artifact."""

    def alone(self) -> contextlib.AbstractContextManager[bool]:
        """Until the context ends nobody else gives versions here, if what it gives is true."""

    def pause(self, seconds: float) -> None:
        """Let time pass."""


class Repository(TaggedArtifacts, Protocol):
    """The same, where tags name images as well, which are not read here."""

    def find_digest(self, tag: str) -> Digest | None:
        """Return the digest of the image or artifact that the tag names; `None` where there is no such tag."""


class RegistryRepository:
    """A repository of a registry. `reference` has neither tag nor digest."""

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self._client = client
        self._reference = reference
        self._there: set[Digest] = set()
        """Artifacts whose files need not be sent again."""

    @property
    def location(self) -> str:
        """`docker://HOST/REPOSITORY`."""
        return f"{REGISTRY_PREFIX}{self._reference.name}"

    def tags(self) -> frozenset[str]:
        """Return the tags, as the registry lists them now."""
        return frozenset(list_tags(self._client, self._reference))

    def get(self, tag: str) -> Artifact | None:
        """Return what the tag names."""
        found = fetch_artifact(self._client, replace(self._reference, tag=tag))
        if found is not None:
            self._there.add(found.digest)
        return found

    def put(self, artifact: Artifact, tag: str) -> None:
        """Let the tag name an artifact; its files are sent before, where they are not there."""
        put = tag_artifact if artifact.digest in self._there else push_artifact
        self._there.add(put(self._client, replace(self._reference, tag=tag), artifact))

    def find_digest(self, tag: str) -> Digest | None:
        """Return the digest of what the tag names."""
        return find_digest(self._client, replace(self._reference, tag=tag))

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Registries give no locks."""
        yield False

    def pause(self, seconds: float) -> None:
        """Let time pass, until the client's deadline at most."""
        self._client.pause(seconds)


class LayoutRepository:
    """An OCI layout in `directory`, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def location(self) -> str:
        """`oci:DIRECTORY`."""
        return f"{Transport.OCI.value}:{self._directory}"

    def tags(self) -> frozenset[str]:
        """Return the names in the layout's index."""
        return frozenset(self._entries())

    def get(self, tag: str) -> Artifact | None:
        """Return what the tag names."""
        entry = self._entries().get(tag)
        if entry is None:
            return None
        return read_artifact(self._read(entry), self._read, source=f"{self.location}:{tag}")

    def put(self, artifact: Artifact, tag: str) -> None:
        """Let the tag name an artifact."""
        with open_layout(self._directory, durable=True) as writer:
            writer.add_artifact(artifact)
            writer.tag(artifact, [tag])

    def find_digest(self, tag: str) -> Digest | None:
        """Return the digest of what the tag names."""
        entry = self._entries().get(tag)
        return None if entry is None else entry.digest

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """The kernel lets one process in, and the next when that has ended, however it ends."""
        # Beside the layout: its own lock is held while it is written, which happens meanwhile.
        place = self._directory.with_name(f".{self._directory.name}.lock")
        descriptor = open_alone(
            place, os.O_RDWR | os.O_CREAT, make=lambda: place.parent.mkdir(parents=True, exist_ok=True)
        )
        try:
            yield True
        finally:
            os.close(descriptor)

    def pause(self, seconds: float) -> None:
        """Nobody waits for anything here."""

    def _entries(self) -> dict[str, Descriptor]:
        if not (self._directory / INDEX_FILE).exists():
            return {}
        return {
            entry.annotations[REF_NAME_ANNOTATION]: entry
            for entry in read_index(self._directory)
            if REF_NAME_ANNOTATION in entry.annotations
        }

    def _read(self, descriptor: Descriptor) -> bytes:
        path = blob_path(self._directory, descriptor.digest)
        return verify_content(read_document(path), descriptor, subject=str(path))
