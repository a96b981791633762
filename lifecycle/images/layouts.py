"""Images in OCI layouts below one directory (platform.md, "OCI Image Layout"): `<directory>/<registry>/<repository>/<tag>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.errors import InvalidValue
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Connections, Output
from lifecycle.exporters.layout import LayoutOutput
from lifecycle.images import FoundImage
from lifecycle.oci.image import Image, Layer
from lifecycle.oci.layout import INDEX_FILE, read_image
from lifecycle.oci.location import Location, Transport
from lifecycle.registry.client import RegistryClient
from lifecycle.run_image_names import pinned

# What Docker Hub is called in paths, as in other places outside of Docker.
_DOCKER_REGISTRY, _DOCKER_NAME = "docker.io", "index.docker.io"


class LayoutImages:
    """The layouts below `directory`. `client` and `env` are for what asks registries all the same: the image of the cache."""

    def __init__(self, directory: Path, client: RegistryClient, env: Mapping[str, str]) -> None:
        self._directory = directory
        self._client = client
        self._env = env

    def find(self, name: str) -> FoundImage | None:
        """Return the image in the layout of that name."""
        path = self._path(Reference.parse(name))
        if not (path / INDEX_FILE).exists():
            return None
        image = read_image(Location(transport=Transport.OCI, path=path))
        return FoundImage(
            name=name,
            reference=f"{path}@{image.digest}",
            digest=str(image.digest),
            os=image.config.os,
            architecture=image.config.architecture,
            variant=image.config.variant,
            labels=image.config.labels,
        )

    def read(self, reference: str) -> Image:
        """Return the image at `<path>@<digest>`."""
        path, _, digest = reference.rpartition("@")
        image = read_image(Location(transport=Transport.OCI, path=Path(path)))
        if str(image.digest) != digest:
            raise InvalidValue(f"`{reference}`", f"is not there: the layout has {image.digest}")
        return image

    def fetch(self, layers: Sequence[Layer]) -> None:
        """Do nothing: everything is here."""

    def fetch_foreign(self, names: Sequence[str]) -> None:
        """Do nothing: everything is here."""

    def keep(self, image: Image, run_image: Image) -> None:
        """Do nothing: it is there."""

    def outputs(self, names: Sequence[str]) -> tuple[Output, ...]:
        """Return a layout for each name."""
        references = [Reference.parse(name).with_default_tag() for name in names]
        return tuple(LayoutOutput(directory=self._path(one), tags=(one.tag,) if one.tag else ()) for one in references)

    def connections(self) -> Connections:
        """Return what outputs are reached by: these need nothing."""
        return Connections(client=self._client, env=self._env)

    def identity(self, found: FoundImage, name: str) -> str:
        """Return the digest in the repository of `name`, as it would be in a registry."""
        return pinned(name, found.digest)

    def _path(self, reference: Reference) -> Path:
        registry = _DOCKER_NAME if reference.registry == _DOCKER_REGISTRY else reference.registry
        repository = self._directory / registry / reference.repository
        if reference.digest is not None:
            return repository / reference.digest.algorithm / reference.digest.hex
        return repository / (reference.with_default_tag().tag or "")
