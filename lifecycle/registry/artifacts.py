"""Artifacts in registries, and which tags a repository has
(https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#content-discovery).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.oci.artifact import EMPTY_CONTENT, Artifact, read_artifact
from lifecycle.oci.descriptor import MANIFEST_TYPE, Descriptor
from lifecycle.oci.document import SIZE_LIMIT, parse_document
from lifecycle.oci.verify import verify_content
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import BlobsUnknown, NoSuchImage
from lifecycle.registry.manifest import ACCEPTED_TYPES
from lifecycle.registry.outgoing import Blob
from lifecycle.registry.push import put_manifest, upload_all
from lifecycle.registry.question import Question
from lifecycle.registry.repository import Repository

_NEXT = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?", re.IGNORECASE)
# At a hundred tags a page, as the smallest pages are that registries give
_PAGE_LIMIT = 10_000


def list_tags(client: RegistryClient, reference: Reference) -> tuple[str, ...]:
    """Return all tags of the repository of `reference`, in no order; none where there is no such repository.

    Raises:
        RegistryError: the registry does not say it.
        ConfigurationError: it says something else.
    """
    repository, name = client.repository(reference), reference.name
    tags: list[str] = []
    path = "tags/list"
    for _ in range(_PAGE_LIMIT):
        question = Question(method="GET", path=path, what="repository", limit=SIZE_LIMIT)
        try:
            response = repository.ask(question, image=name)
        except NoSuchImage:
            return ()
        page = parse_document(response.content, source=f"tags of {name}")
        # Null where a repository has none, say some.
        tags.extend(page.strings("tags") if "tags" in page else ())
        following = _NEXT.search(response.header("Link") or "")
        if following is None:
            return tuple(dict.fromkeys(tags))
        # Only where in the list it goes on: who is asked, and for what, is not the answer's to say.
        path = f"tags/list?{urlsplit(following[1]).query}"
    raise repository.unexpected(f"does not end the list of its tags after {_PAGE_LIMIT} pages", name)


def fetch_artifact(client: RegistryClient, reference: Reference) -> Artifact | None:
    """Return the artifact that `reference`, which has a tag or a digest, names; `None` where there is none.

    Raises:
        RegistryError: the registry does not give it.
        OciError, ConfigurationError, InvalidValue: it is no artifact, or damaged.
    """
    repository, image = client.repository(reference), str(reference)
    question = Question(
        method="GET",
        path=f"manifests/{reference.digest or reference.tag}",
        headers={"Accept": MANIFEST_TYPE},
        limit=SIZE_LIMIT,
    )
    try:
        content = repository.ask(question, image=image).content
    except NoSuchImage:
        return None
    if reference.digest is not None:
        expected = Descriptor(media_type=MANIFEST_TYPE, digest=reference.digest, size=len(content))
        verify_content(content, expected, subject=f"manifest of {image}")
    return read_artifact(content, lambda layer: _fetch_blob(repository, layer, image), source=image)


def push_artifact(client: RegistryClient, reference: Reference, artifact: Artifact) -> Digest:
    """Put an artifact into the repository of `reference`, under its tag, and return its digest.

    Raises:
        RegistryError: the registry does not take it.
    """
    blobs = _blobs_of(artifact)
    upload_all(client, reference, blobs)
    try:
        return tag_artifact(client, reference, artifact)
    except BlobsUnknown:
        # It said that they are there, or that it has taken them.
        upload_all(client, reference, blobs, is_trusted=False)
        return tag_artifact(client, reference, artifact)


def tag_artifact(client: RegistryClient, reference: Reference, artifact: Artifact) -> Digest:
    """Let `reference` name an artifact whose files are there, and return its digest. Raises as `put_manifest` does."""
    return put_manifest(client, reference, artifact.manifest_bytes, MANIFEST_TYPE)


def _blobs_of(artifact: Artifact) -> list[Blob]:
    blobs = [Blob(descriptor=artifact.manifest.config, content=EMPTY_CONTENT, what="config")]
    blobs += [Blob(descriptor=file.descriptor, content=file.content, what="file") for file in artifact.files]
    return list({blob.descriptor.digest: blob for blob in blobs}.values())


def _fetch_blob(repository: Repository, descriptor: Descriptor, image: str) -> bytes:
    question = Question(method="GET", path=f"blobs/{descriptor.digest}", what="file", limit=SIZE_LIMIT)
    content = repository.ask(question, image=image).content
    return verify_content(content, descriptor, subject=f"file of {image}")


def find_digest(client: RegistryClient, reference: Reference) -> Digest | None:
    """Return the digest of the image, index or artifact that the tag of `reference` names; `None` where there is none.

    Raises:
        RegistryError: the registry does not say it.
    """
    question = Question(
        method="GET",
        path=f"manifests/{reference.tag}",
        headers={"Accept": ", ".join(ACCEPTED_TYPES)},
        limit=SIZE_LIMIT,
    )
    try:
        return Digest.of(client.repository(reference).ask(question, image=str(reference)).content)
    except NoSuchImage:
        return None
