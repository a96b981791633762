"""What there is to say of the image of an environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lifecycle.cnb.digest import Digest
from lifecycle.oci.location import REGISTRY_PREFIX, Transport
from pybuild.environments.difference import describe_lock_difference
from pybuild.workspaces.built import BuildRecord
from pybuild.workspaces.version import RegisteredVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDetails:
    """The image of a version. `details["ingredients"]["dockerfile"]` and the like read it as Azure ML's do."""

    name: str
    version: int
    image: str
    """Where it is, with its digest: `docker://HOST/NAMESPACE/NAME:TAG@DIGEST` or `oci:DIRECTORY:TAG@DIGEST`."""
    digest: Digest
    """Of its manifest."""
    locks: Mapping[str, Mapping[str, str]]
    """What was resolved: texts by file name, by buildpack."""
    sbom: str | None
    """Where the layer with its bills of materials is, an archive compressed with gzip: `HOST/NAMESPACE/NAME@DIGEST`, a blob of the
    registry, or the path of a file. `None`: no buildpack has written any.
    """
    dockerfile: str | None
    """An equivalent Dockerfile; `None` for that of a whole repository with its own Dockerfile, or without a lock."""
    key: str
    """Name of what it is made of: lock, base, builder."""
    builder: str
    created: str
    """When it was built, RFC 3339."""
    is_new: bool = False
    """Whether it was built just now, and is not one that was there."""
    changes: tuple[str, ...] = ()
    """A line for each package that is another than in the image that the version had before."""

    @classmethod
    def of(
        cls,
        registered: RegisteredVersion,
        record: BuildRecord,
        location: str,
        *,
        before: BuildRecord | None = None,
        is_new: bool = False,
    ) -> ImageDetails:
        """Return what a record says. `before`: that of the image that the version had before."""
        return cls(
            name=registered.name,
            version=registered.version,
            image=f"{location}:{record.key.image_tag}@{record.image}",
            digest=record.image,
            locks=record.key.locks,
            sbom=None if record.sbom is None else _locate_blob(location, record.sbom),
            dockerfile=record.dockerfile,
            key=record.key.hex,
            builder=record.key.builder,
            created=record.created,
            is_new=is_new,
            changes=() if before is None else describe_lock_difference(before.key.locks, record.key.locks),
        )

    def wait_for_completion(self, show_output: bool = False) -> ImageDetails:  # noqa: ARG002, FBT001, FBT002 - Azure ML's signature
        """Return itself: it is there. Azure ML builds elsewhere and meanwhile."""
        return self

    def to_json(self) -> Mapping[str, object]:
        """The values for programs."""
        return {
            "name": self.name,
            "version": self.version,
            "image": self.image,
            "digest": str(self.digest),
            "key": self.key,
            "builder": self.builder,
            "created": self.created,
            "sbom": self.sbom,
            "ingredients": {"dockerfile": self.dockerfile, "locks": self.locks},
        }

    def __getitem__(self, key: str) -> object:
        return self.to_json()[key]

    def keys(self) -> Iterable[str]:
        """The names of the values, so that `dict` makes a dictionary of it, as Azure ML's users do."""
        return self.to_json().keys()


def _locate_blob(location: str, digest: Digest) -> str:
    """Where a blob of the repository at `location` is."""
    if location.startswith(REGISTRY_PREFIX):
        return f"{location.removeprefix(REGISTRY_PREFIX)}@{digest}"
    directory = location.removeprefix(f"{Transport.OCI.value}:")
    return f"{directory}/blobs/{digest.algorithm}/{digest.hex}"
