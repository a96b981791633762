"""Pushes images: blobs first, several at once and only those that are missing; what names them last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import InvalidValue, printable
from lifecycle.cnb.reference import Reference
from lifecycle.oci.image import Image
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import BlobsUnknown, ManifestRefused, UnexpectedAnswer
from lifecycle.registry.outgoing import Blob
from lifecycle.registry.parallel import run_all
from lifecycle.registry.question import Question
from lifecycle.registry.upload import ANSWER_LIMIT, PUSH, How, Upload, begin, cancel, place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """So many blobs of together so many bytes."""

    blobs: int = 0
    size: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(blobs=self.blobs + other.blobs, size=self.size + other.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What became of the blobs of an image. `retries`: how often something was asked again that had failed."""

    uploaded: Amount = Amount()
    present: Amount = Amount()
    """Were in the repository."""
    mounted: Amount = Amount()
    """Were in another repository of the registry, and nothing of them travelled."""
    retries: int = 0

    def __add__(self, other: Uploaded) -> Uploaded:
        return Uploaded(
            uploaded=self.uploaded + other.uploaded,
            present=self.present + other.present,
            mounted=self.mounted + other.mounted,
            retries=self.retries + other.retries,
        )


def check_access(client: RegistryClient, reference: Reference) -> None:
    """Find out whether the repository of `reference` may be written: an upload is begun and given up.

    Raises:
        RegistryError: it may not, or the registry cannot be reached.
    """
    repository = client.repository(reference)
    cancel(repository, place_of(begin(repository, str(reference))), str(reference))


def upload_blobs(
    client: RegistryClient,
    reference: Reference,
    image: Image,
    *,
    mount_from: Sequence[Reference] = (),
    is_trusted: bool = True,
    on_progress: Callable[[int], object] | None = None,
) -> Uploaded:
    """Return what had to be done so that every blob of `image` is in the repository of `reference`. Nothing names them yet.

    `mount_from`: where blobs may be as well; those of the same registry count. `on_progress` gets the bytes that have become
    there since it was last called, also those that were there: together the size of all blobs. A registry that is not trusted
    is sent everything, whatever it says to have.

    Raises:
        RegistryError: the registry does not take them.
        OciError: a blob is not what its descriptor says.
        OSError: a blob cannot be read.
    """
    return upload_all(
        client, reference, _blobs_of(image), mount_from=mount_from, is_trusted=is_trusted, on_progress=on_progress
    )


def upload_all(
    client: RegistryClient,
    reference: Reference,
    blobs: Sequence[Blob],
    *,
    mount_from: Sequence[Reference] = (),
    is_trusted: bool = True,
    on_progress: Callable[[int], object] | None = None,
) -> Uploaded:
    """Return what had to be done so that all of `blobs`, each of which is given once, are in the repository of `reference`.

    What else it takes and raises is as in `upload_blobs`.
    """
    repository = client.repository(reference)
    name = str(reference)
    sources = tuple(
        dict.fromkeys(
            source.repository
            for source in mount_from
            if source.registry == reference.registry and source.repository != reference.repository
        )
    )

    def upload(blob: Blob) -> Uploaded:
        how = Upload(client, repository, blob, name, on_progress).run(sources=sources, is_trusted=is_trusted)
        amount = Amount(blobs=1, size=blob.descriptor.size)
        match how:
            case How.UPLOADED:
                return Uploaded(uploaded=amount)
            case How.PRESENT:
                return Uploaded(present=amount)
            case How.MOUNTED:
                return Uploaded(mounted=amount)

    before = client.retries
    done = sum(run_all(client, upload, blobs), Uploaded())
    return done + Uploaded(retries=client.retries - before)


def put_manifest(client: RegistryClient, reference: Reference, content: bytes, media_type: str) -> Digest:
    """Let `reference` name a manifest or an index, and return its digest. By tag where it has one, else by its digest.

    Raises:
        InvalidValue: `reference` has a digest, and it is another one.
        BlobsUnknown: the registry lacks what the manifest names.
        RegistryError: the registry does not take it.
    """
    digest = Digest.of(content)
    reference = reference.with_default_tag()
    if reference.digest not in (None, digest):
        raise InvalidValue(f"`{reference}`", f"has the digest of another image than `{digest}`", "leave out the digest")
    question = Question(
        method="PUT",
        path=f"manifests/{reference.tag or digest}",
        actions=PUSH,
        headers={"Content-Type": media_type},
        body=content,
        what="repository",
        limit=ANSWER_LIMIT,
    )
    repository = client.repository(reference)
    try:
        response = repository.ask(question, image=str(reference))
    except UnexpectedAnswer as err:
        raise ManifestRefused(
            image=err.image, registry=err.registry, details=err.details, status=err.status, is_push=True
        ) from err
    said = response.header("Docker-Content-Digest")
    if said is not None and said != str(digest):
        reason = f"has stored the manifest `{printable(said)[:100]}` for `{digest}`"
        raise repository.unexpected(reason, str(reference), is_push=True)
    return digest


def put_image(
    client: RegistryClient,
    references: Sequence[Reference],
    image: Image,
    *,
    on_progress: Callable[[int], object] | None = None,
) -> Uploaded:
    """Let `references`, which are of one repository, name `image`, whose blobs are there; return what had to be done again.

    Raises what `upload_blobs` and `put_manifest` raise.
    """
    put = partial(put_manifest, client, content=image.manifest_bytes, media_type=image.descriptor.media_type)
    again, before = Uploaded(), client.retries
    for reference in references:
        try:
            put(reference)
        except BlobsUnknown:
            # It said that they are there, or that it has taken them.
            again += upload_blobs(client, reference, image, is_trusted=False, on_progress=on_progress)
            put(reference)
    return again + Uploaded(retries=client.retries - before - again.retries)


def _blobs_of(image: Image) -> list[Blob]:
    """The blobs, each once, the largest first: the small ones fill the gaps."""
    config = Blob(descriptor=image.manifest.config, content=image.config_bytes, what="config")
    layers = (Blob(descriptor=layer.descriptor, content=layer.path, what="layer") for layer in image.layers)
    blobs = {blob.descriptor.digest: blob for blob in (config, *layers)}
    return sorted(blobs.values(), key=lambda blob: -blob.descriptor.size)
