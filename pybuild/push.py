"""The way of a push: an image that is there goes into registries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lifecycle.cnb.errors import InvalidValue
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
from pybuild.errors import UsageError
from pybuild.image_location import open_image
from pybuild.image_store import ImageStore, open_client
from pybuild.site import Site
from pybuild.store import in_use


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """What to push, and where to."""

    location: str
    """One of `pybuild.image_location.LOCATIONS`."""
    names: Sequence[str]
    """In registries, such as `registry.example.org/team/app:1`."""
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


def push_image(request: PushRequest, site: Site) -> PushReport:
    """What was pushed, after every name is that of the image.

    Raises:
        lifecycle.cnb.errors.CnbError: it cannot be done; names that were there are as they were.
    """
    if isinstance(request.names, str):
        raise UsageError(f"the names are a text, `{request.names}`, and not several", f'write `["{request.names}"]`')
    outputs = tuple(map(_read_name, request.names))
    delivery = Delivery(outputs=outputs, env=site.host_env, insecure_registries=request.insecure_registries)
    log, deadline = site.log, site.deadline
    delivery.check(log, deadline=deadline)
    place = parse_location(request.location) if request.location.startswith(f"{Transport.OCI.value}:") else None
    if place is not None:
        # Images for several platforms, which such a place can hold, go all.
        content = read_content(place)
        return PushReport(image=content, written=delivery.deliver(content, log, deadline=deadline))
    # Where the registry has it, it need not come here; unless one of its repositories does not give it to the other.
    with contextlib.suppress(FileNotFoundError), _look_up(request, outputs, site) as image:
        if image is not None:
            written = delivery.deliver(image, log, origins=[request.location], deadline=deadline)
            return PushReport(image=image, written=written)
    with open_image(request.location, site, insecure=request.insecure_registries) as image:
        written = delivery.deliver(image, log, origins=[request.location], deadline=deadline)
        return PushReport(image=image, written=written)


def _read_name(name: str) -> RegistryOutput:
    try:
        return RegistryOutput.make(name.removeprefix(REGISTRY_PREFIX))
    except InvalidValue as err:
        raise UsageError(
            err.summary, err.hint or "write a name, for example `registry.example.org/team/app:1`"
        ) from err


@contextlib.contextmanager
def _look_up(request: PushRequest, outputs: Sequence[RegistryOutput], site: Site) -> Iterator[Image | None]:
    """The image without those of its layers that are not on this machine, if it is in the registry that it goes to."""
    if not request.location.startswith(REGISTRY_PREFIX):
        yield None
        return
    reference = Reference.parse(request.location.removeprefix(REGISTRY_PREFIX)).with_default_tag()
    if any(output.references[0].registry != reference.registry for output in outputs):
        yield None
        return
    with in_use(site.store, site.log, deadline=site.deadline):
        client = open_client(site.host_env, insecure=request.insecure_registries, deadline=site.deadline)
        try:
            found = ImageStore(site.store, client, site.log).look_up(reference, host_platform())
            if found.is_of_index:
                site.log.notice(
                    f"`{request.location}` names images for several platforms; the one for {name_of(host_platform())} is pushed"
                )
            yield found.image
        finally:
            client.close()
