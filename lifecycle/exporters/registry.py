"""`docker://NAME`: a repository of a registry, where the image may have several tags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters.transfer import Commit, Progress, Transfer
from lifecycle.oci.image_index import Content, ImageIndex, images_of
from lifecycle.oci.location import REGISTRY_PREFIX
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.push import Uploaded, check_access, put_image, put_manifest, upload_blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOutput:
    """The names that the image gets, all of one repository and each with a tag. Made by `make`."""

    references: tuple[Reference, ...]

    @classmethod
    def make(cls, name: str) -> RegistryOutput:
        """Return the output for one name, with the tag `latest` where it has none. Raises `InvalidValue`."""
        reference = Reference.parse(name)
        if reference.digest is not None:
            raise InvalidValue(
                f"`{name}`", "has a digest, which only the image itself can say", f"name a tag: `{reference.name}:TAG`"
            )
        return cls(references=(reference.with_default_tag(),))

    @property
    def location(self) -> str:
        """`docker://NAME:TAG`, the first."""
        return f"{REGISTRY_PREFIX}{self.references[0]}"

    @property
    def place(self) -> str:
        """What two outputs have in common that are one."""
        return f"{REGISTRY_PREFIX}{self.references[0].name}"

    def merged(self, other: RegistryOutput) -> RegistryOutput:
        """Return the output that gives the image the names of both, which are of one repository."""
        return RegistryOutput(references=tuple(dict.fromkeys([*self.references, *other.references])))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryExporter:
    """Puts images into `output`. `mount_from`: references in whose repositories blobs may be already."""

    output: RegistryOutput
    client: RegistryClient
    mount_from: Sequence[Reference] = ()

    def check(self) -> None:
        """Find out before any work whether the repository can be written. Raises `RegistryError`."""
        check_access(self.client, self.output.references[0])

    @contextlib.contextmanager
    def prepare(self, image: Content, on_progress: Progress | None) -> Iterator[Commit]:
        """Upload the blobs, which nothing names yet; the commit puts the manifest, which is what tags point to."""
        uploaded = Uploaded()
        for one in images_of(image):
            uploaded += upload_blobs(
                self.client, self.output.references[0], one, mount_from=self.mount_from, on_progress=on_progress
            )
        yield lambda: _transfer(uploaded, self._put(image))

    def _put(self, content: Content) -> Uploaded:
        """What had to be sent again until the references named the image or the index."""
        references = self.output.references
        if not isinstance(content, ImageIndex):
            return put_image(self.client, references, content)
        again = Uploaded()
        # By digest first: an index may name only what is there.
        for image in content.images:
            again += put_image(self.client, [replace(references[0], tag=None, digest=image.digest)], image)
        for reference in references:
            put_manifest(self.client, reference, content.content, content.descriptor.media_type)
        return again


def _transfer(uploaded: Uploaded, again: Uploaded) -> Transfer:
    """`again`: what the registry was said to have and had to be sent all the same."""
    return Transfer(
        sent=uploaded.uploaded.size + again.uploaded.size,
        present=uploaded.present.size,
        mounted=uploaded.mounted.size,
        retries=uploaded.retries + again.retries,
    )
