"""Images in a Docker engine. What is read comes out of it as a whole; with a launch cache, what the last build left need not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.daemon.engine import open_engine
from lifecycle.exporters import Connections, Output
from lifecycle.exporters.daemon import DaemonOutput
from lifecycle.images import FoundImage
from lifecycle.oci.image import Image, Layer
from lifecycle.oci.layout import INDEX_FILE, read_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.oci.location import Location, Transport
from lifecycle.registry.client import RegistryClient

# Of the launch cache, which is a layout: the images that the next build needs again.
_APP_IMAGE, _RUN_IMAGE = "app", "run"


class EngineImages:
    """The images of the engine that `env` names. `launch_cache` is a directory for what `keep` is given."""

    def __init__(
        self, client: RegistryClient, scratch: Path, env: Mapping[str, str], launch_cache: Path | None = None
    ) -> None:
        self._client = client
        self._scratch = scratch
        self._env = env
        self._launch_cache = launch_cache

    def find(self, name: str) -> FoundImage | None:
        """Return the image that the engine calls so; its reference is its id."""
        with open_engine(self._env) as engine:
            found = engine.describe(name)
        if found is None:
            return None
        return FoundImage(
            name=name,
            reference=str(found.identity),
            digest=str(found.identity),
            os=found.os,
            architecture=found.architecture,
            variant=found.variant,
            labels=found.labels,
        )

    def read(self, reference: str) -> Image:
        """Return the image of that id, out of the launch cache or out of the engine."""
        kept = self._kept(reference)
        if kept is not None:
            return kept
        directory = self._scratch / Digest.parse(reference).hex
        archive = directory.with_suffix(".tar")
        if not directory.is_dir():
            directory.mkdir(parents=True)
        with open_engine(self._env) as engine:
            engine.save(reference, archive)
        image = read_image(Location(transport=Transport.DOCKER_ARCHIVE, path=archive), scratch=directory)
        archive.unlink()
        return image

    def fetch(self, layers: Sequence[Layer]) -> None:
        """Do nothing: everything is here."""

    def fetch_foreign(self, names: Sequence[str]) -> None:
        """Do nothing: everything is here."""

    def keep(self, image: Image, run_image: Image) -> None:
        """Put what the next build will ask for into the launch cache, in the place of what is there. Raises `CnbError`, `OSError`."""
        if self._launch_cache is None:
            return
        with open_layout(self._launch_cache) as layout:
            for one, name in ((run_image, _RUN_IMAGE), (image, _APP_IMAGE)):
                layout.add(one)
                layout.tag(one, [name])
            layout.remove_unreferenced()

    def outputs(self, names: Sequence[str]) -> tuple[Output, ...]:
        """Return the engine, where the image gets all names."""
        first, *others = names
        return (DaemonOutput.make(first, others),)

    def connections(self) -> Connections:
        """Return where the engine is."""
        return Connections(client=self._client, env=self._env)

    def identity(self, found: FoundImage, name: str) -> str:  # noqa: ARG002 - in an engine, the name says nothing
        """Return the id: an engine knows no digests."""
        return found.reference

    def _kept(self, reference: str) -> Image | None:
        if self._launch_cache is None or not (self._launch_cache / INDEX_FILE).exists():
            return None
        for name in (_APP_IMAGE, _RUN_IMAGE):
            try:
                image = read_image(Location(transport=Transport.OCI, path=self._launch_cache, name=name))
            except CnbError:
                continue
            # Engines that keep blobs call an image by its manifest's digest.
            if reference in (str(image.id), str(image.digest)):
                return image
        return None
