"""Images by the texts that a person names them with, wherever they are: on this machine, in a registry, in a Docker engine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lifecycle.cnb.reference import Reference
from lifecycle.daemon.engine import open_engine
from lifecycle.oci.descriptor import host_platform
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.location import DAEMON_PREFIX, REGISTRY_PREFIX, Location, Transport
from pybuild.errors import UsageError
from pybuild.image_store import ImageStore, open_client, read_any_image
from pybuild.site import Site
from pybuild.store import in_use

_PREFIXES = (*(f"{transport.value}:" for transport in Transport), REGISTRY_PREFIX, DAEMON_PREFIX)
LOCATIONS = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker://NAME or docker-daemon:NAME"


def check_location(location: str) -> None:
    """Raise `UsageError` where `location` is none of `LOCATIONS`."""
    if not location.startswith(_PREFIXES):
        raise UsageError(f"`{location}` does not say where the image is", f"write {LOCATIONS}")


@contextlib.contextmanager
def open_image(location: str, site: Site, *, insecure: tuple[str, ...] = ()) -> Iterator[Image]:
    """The image at `location`, one of `LOCATIONS`, whose layers are there for as long as the context lasts.

    `insecure` names registries that need no TLS.

    Raises:
        lifecycle.cnb.errors.CnbError: there is no such image, or it cannot be had or read.
    """
    check_location(location)
    with (
        in_use(site.store, site.log, deadline=site.deadline),
        tempfile.TemporaryDirectory(prefix="pybuild-image-") as directory,
    ):
        scratch = Path(directory)
        if location.startswith(DAEMON_PREFIX):
            archive = scratch / "saved.tar"
            with (
                site.log.step("Taking the image out of the Docker engine"),
                open_engine(site.host_env, deadline=site.deadline) as engine,
            ):
                engine.save(location.removeprefix(DAEMON_PREFIX), archive)
            (scratch / "layers").mkdir()
            yield read_image(Location(transport=Transport.DOCKER_ARCHIVE, path=archive), scratch=scratch / "layers")
        else:
            with contextlib.closing(open_client(site.host_env, insecure=insecure, deadline=site.deadline)) as client:
                images = ImageStore(site.store, client, site.log)
                yield read_any_image(location, images=images, scratch=scratch)


@contextlib.contextmanager
def open_image_config(location: str, site: Site, *, insecure: tuple[str, ...] = ()) -> Iterator[Image]:
    """The image as `open_image` gives it, of which no more is fetched from a registry than what it says of itself.

    Raises:
        lifecycle.cnb.errors.CnbError: there is no such image, or it cannot be had or read.
    """
    if not location.startswith(REGISTRY_PREFIX):
        with open_image(location, site, insecure=insecure) as image:
            yield image
        return
    reference = Reference.parse(location.removeprefix(REGISTRY_PREFIX)).with_default_tag()
    with in_use(site.store, site.log, deadline=site.deadline):
        client = open_client(site.host_env, insecure=insecure, deadline=site.deadline)
        try:
            yield ImageStore(site.store, client, site.log).look_up(reference, host_platform()).image
        finally:
            client.close()
