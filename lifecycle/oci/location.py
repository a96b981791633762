"""Where an image lives, in the words of skopeo (https://github.com/containers/image/blob/main/docs/containers-transports.5.md):
`oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`; and the prefixes of names that are not of this machine's files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue

# A registry, and a Docker engine
REGISTRY_PREFIX, DAEMON_PREFIX = "docker://", "docker-daemon:"


class Transport(str, Enum):
    """The kinds of places."""

    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place on this machine. `name`: which of the images there, perhaps with `@DIGEST`; `None`: the only one."""

    transport: Transport
    path: Path
    name: str | None = None

    def __str__(self) -> str:
        name = "" if self.name is None else f":{self.name}"
        return f"{self.transport.value}:{self.path}{name}"


def parse_location(text: str) -> Location:
    """Return the location that `text` names. As in skopeo, the path ends at the first colon. Raises `InvalidValue`."""
    kind, colon, rest = text.partition(":")
    known = ", ".join(f"`{transport.value}:`" for transport in Transport)
    if not colon or kind not in {transport.value for transport in Transport}:
        raise InvalidValue(f"`{text}`", f"does not say what kind of place it is; known are {known}")
    path, colon, name = rest.partition(":")
    if not path or "\0" in path:
        raise InvalidValue(f"`{text}`", "lacks a path", f"write `{kind}:PATH`")
    if colon and not name:
        raise InvalidValue(f"`{text}`", "ends in a colon without a name behind it")
    return Location(transport=Transport(kind), path=Path(path), name=name or None)
