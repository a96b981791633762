"""Images that are replaced where they are: what puts another one there, and whether it is still the one that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.cnb.deadline import NEVER, Deadline
from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.daemon.engine import open_engine
from lifecycle.exporters import Output, parse_output
from lifecycle.oci.descriptor import INDEX_TYPE, REF_NAME_ANNOTATION, host_platform
from lifecycle.oci.image import Image
from lifecycle.oci.layout import find_image, read_index
from lifecycle.oci.location import DAEMON_PREFIX, REGISTRY_PREFIX, Location, Transport, parse_location
from pybuild.errors import ImageMoved, SettingsError, UsageError
from pybuild.image_store import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an image is. `digest`: what the place named when it was looked at; in a Docker engine the image's id."""

    location: str
    output: Output
    digest: Digest

    def check(
        self, replacement: Image, images: ImageStore, env: Mapping[str, str], *, deadline: Deadline = NEVER
    ) -> None:
        """Raise `ImageMoved` where somebody has put another image there than `replacement`, which is to be put there."""
        now = find_place(self.location, images, env, deadline=deadline)
        if now.digest not in (self.digest, replacement.digest, replacement.id):
            raise ImageMoved(location=self.location, before=self.digest, now=now.digest)


def find_place(location: str, images: ImageStore, env: Mapping[str, str], *, deadline: Deadline = NEVER) -> Place:
    """Where the image at `location` is, one of `pybuild.image_location.LOCATIONS`. `env` is the machine's environment; a Docker engine
    is asked until `deadline`.

    Raises:
        lifecycle.cnb.errors.CnbError: it is not there, or cannot be replaced there.
    """
    if location.startswith(REGISTRY_PREFIX):
        return _find_in_registry(location, images)
    if location.startswith(DAEMON_PREFIX):
        return _find_in_daemon(location, env, deadline)
    place = parse_location(location)
    if place.transport is not Transport.OCI:
        raise UsageError(f"`{location}` is an archive, and archives are not changed", "say where to: `--output WHERE`")
    return _find_in_layout(location, place)


def _find_in_registry(location: str, images: ImageStore) -> Place:
    reference = Reference.parse(location.removeprefix(REGISTRY_PREFIX)).with_default_tag()
    if reference.digest is not None:
        raise _has_digest(location, "docker://NAME:TAG")
    found = images.look_up(reference, host_platform())
    if found.is_of_index:
        raise _several(location)
    return Place(location=location, output=parse_output(f"{REGISTRY_PREFIX}{reference}"), digest=found.digest)


def _find_in_daemon(location: str, env: Mapping[str, str], deadline: Deadline) -> Place:
    # Spelled out, a name is no id.
    reference = Reference.parse(location.removeprefix(DAEMON_PREFIX)).with_default_tag()
    with open_engine(env, deadline=deadline) as engine:
        identity = engine.identify(reference)
    return Place(location=location, output=parse_output(f"{DAEMON_PREFIX}{reference}"), digest=identity)


def _find_in_layout(location: str, place: Location) -> Place:
    found = find_image(place)
    if place.name is not None and place.name.endswith(f"@{found.digest}"):
        raise _has_digest(location, f"{Transport.OCI.value}:{place.path}:TAG")
    entries = [(entry, entry.annotations.get(REF_NAME_ANNOTATION)) for entry in read_index(place.path)]
    names = {place.name} if place.name else {name for entry, name in entries if entry.digest == found.digest}
    tags = [name for name in names if name]
    if not tags:
        raise UsageError(f"the image in `{location}` has no name there", f"say where to: `--output {location}:TAG`")
    if found.media_type == INDEX_TYPE or any(name in names and entry.digest != found.digest for entry, name in entries):
        raise _several(location)
    output = parse_output(f"{Transport.OCI.value}:{place.path}", tags=sorted(tags))
    return Place(location=location, output=output, digest=found.digest)


def _has_digest(location: str, other: str) -> UsageError:
    return UsageError(f"`{location}` has a digest, which names one image for ever", f"say where to: `--output {other}`")


def _several(location: str) -> SettingsError:
    return SettingsError(
        f"`{location}` names images for several platforms, and one would take the place of all",
        "say where the one for this machine goes: `--output WHERE`",
    )
