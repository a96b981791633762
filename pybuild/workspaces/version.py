"""A version of an environment as an artifact: its definition in one file, and what else there is to say in annotations."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.cnb.digest import Digest
from lifecycle.oci.artifact import TITLE_ANNOTATION, Artifact, ArtifactFile, make_artifact
from lifecycle.oci.errors import UnsupportedImage
from pybuild.workspaces.tags import repository_name

ENVIRONMENT_TYPE = "application/vnd.pybuild.environment.v1"
_DEFINITION_TYPE = "application/vnd.pybuild.environment.definition.v1+json"
_FILE = "environment.json"
# https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md
_VERSION_ANNOTATION, _CREATED_ANNOTATION = "org.opencontainers.image.version", "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """A version that a workspace has. `created`: RFC 3339."""

    name: str
    """As the first version was registered."""
    version: int
    definition: bytes
    created: str
    is_archived: bool = False
    is_new: bool = False
    """Whether it is there since it was registered just now."""

    @property
    def digest(self) -> Digest:
        """Digest of the definition."""
        return Digest.of(self.definition)


def make_version(name: str, version: int, definition: bytes, created: str) -> Artifact:
    """Return the artifact of a version. `created`: RFC 3339."""
    file = ArtifactFile(name=_FILE, media_type=_DEFINITION_TYPE, content=definition)
    annotations = {TITLE_ANNOTATION: name, _VERSION_ANNOTATION: str(version), _CREATED_ANNOTATION: created}
    return make_artifact(ENVIRONMENT_TYPE, [file], annotations=annotations)


def definition_of(artifact: Artifact) -> Digest | None:
    """Return the digest of the definition; `None` where the artifact is no version."""
    content = artifact.file(_FILE) if artifact.manifest.artifact_type == ENVIRONMENT_TYPE else None
    return None if content is None else Digest.of(content)


def version_of(artifact: Artifact) -> int | None:
    """Return the number of the version that an artifact is; `None` where it is none."""
    number = artifact.manifest.annotations.get(_VERSION_ANNOTATION, "")
    is_number = artifact.manifest.artifact_type == ENVIRONMENT_TYPE and number.isascii() and number.isdigit()
    return int(number) if is_number else None


def name_of(artifact: Artifact, name: str) -> str:
    """Return the name that an artifact gives its environment, which is `name` in perhaps another case."""
    given = artifact.manifest.annotations.get(TITLE_ANNOTATION, "")
    return given if repository_name(given) == repository_name(name) else name


def check_version(artifact: Artifact, version: int, *, source: str) -> bytes:
    """Return the definition of the version that an artifact is. Raises `UnsupportedImage` where it is none, or another one."""
    content = artifact.file(_FILE)
    if version_of(artifact) != version or content is None:
        advice = "give what somebody has put there another tag: numbers are for the versions that pybuild gives"
        raise UnsupportedImage(source, f"is not version {version} of an environment", advice)
    return content


def read_version(artifact: Artifact, name: str, version: int, *, source: str) -> RegisteredVersion:
    """Return the version that an artifact is, of the environment `name`. Raises as `check_version`."""
    content = check_version(artifact, version, source=source)
    created = artifact.manifest.annotations.get(_CREATED_ANNOTATION, "")
    return RegisteredVersion(name=name_of(artifact, name), version=version, definition=content, created=created)
