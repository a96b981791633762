"""The way of a push: an image that is there goes into registries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Written
from lifecycle.exporters.registry import RegistryOutput
from lifecycle.oci.descriptor import host_platform
from lifecycle.oci.image import Image
from lifecycle.oci.image_index import Content
from lifecycle.oci.layout import read_content
from lifecycle.oci.location import REGISTRY_PREFIX, Transport, parse_location
from lifecycle.registry.manifest import name_of
from pybuild.delivery import Delivery
from pybuild.image_location import open_image
from pybuild.image_store import ImageStore, open_client
from pybuild.log import Log
from pybuild.store import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """What to push, and where to. `location`: one of `pybuild.image_location.LOCATIONS`."""

    location: str
    outputs: tuple[RegistryOutput, ...]
    insecure_registries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """The result of a push."""

    image: Content
    written: tuple[Written, ...]

    def to_json(self) -> Mapping[str, object]:
        """The report as `--report` writes it."""
        return {
            "image": {
                "digest": str(self.image.digest),
                "id": str(self.image.id) if isinstance(self.image, Image) else None,
                "outputs": [one.location for one in self.written],
            },
            "transfers": [one.to_json() for one in self.written],
        }


def push_image(request: PushRequest, store: Path, log: Log) -> PushReport:
    """What was pushed, after every name is that of the image.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be done; names that were there are as they were.
    """
    delivery = Delivery(outputs=request.outputs, env=os.environ, insecure_registries=request.insecure_registries)
    delivery.check(log)
    place = parse_location(request.location) if request.location.startswith(f"{Transport.OCI.value}:") else None
    if place is not None:
        # Images for several platforms, which such a place can hold, go all.
        content = read_content(place)
        return PushReport(image=content, written=delivery.deliver(content, log))
    # Where the registry has it, it need not come here; unless one of its repositories does not give it to the other.
    with contextlib.suppress(FileNotFoundError), _look_up(request, store, log) as image:
        if image is not None:
            return PushReport(image=image, written=delivery.deliver(image, log, origins=[request.location]))
    with open_image(request.location, store, log, insecure=request.insecure_registries) as image:
        return PushReport(image=image, written=delivery.deliver(image, log, origins=[request.location]))


@contextlib.contextmanager
def _look_up(request: PushRequest, store: Path, log: Log) -> Iterator[Image | None]:
    """The image without those of its layers that are not on this machine, if it is in the registry that it goes to."""
    if not request.location.startswith(REGISTRY_PREFIX):
        yield None
        return
    reference = Reference.parse(request.location.removeprefix(REGISTRY_PREFIX)).with_default_tag()
    if any(output.references[0].registry != reference.registry for output in request.outputs):
        yield None
        return
    with in_use(store, log):
        client = open_client(os.environ, Path.home(), insecure=request.insecure_registries)
        try:
            found = ImageStore(store, client, log).look_up(reference, host_platform())
            if found.is_of_index:
                log.notice(
                    f"`{request.location}` names images for several platforms; the one for {name_of(host_platform())} is pushed"
                )
            yield found.image
        finally:
            client.close()
