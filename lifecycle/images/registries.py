"""Images in registries. Blobs stay where they are as long as nobody needs them: most of what a build pushes is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.reference import Reference
from lifecycle.exporters import Connections, Output
from lifecycle.exporters.registry import RegistryOutput
from lifecycle.images import FoundImage
from lifecycle.oci.descriptor import Descriptor, host_platform
from lifecycle.oci.image import Image, Layer
from lifecycle.registry.blobs import BlobStore
from lifecycle.registry.client import RegistryClient
from lifecycle.registry.errors import NoSuchImage
from lifecycle.registry.pull import Resolved, assemble, resolve
from lifecycle.registry.transfer import Transfer
from lifecycle.run_image_names import pinned


class RegistryImages:
    """What `client` reaches; what comes from there is put into `scratch`. `env` is the machine's environment.

    With `any_platform`, images may be for other machines where there is only one of a name.
    """

    def __init__(
        self, client: RegistryClient, scratch: Path, env: Mapping[str, str], *, any_platform: bool = False
    ) -> None:
        self._client = client
        self._blobs = BlobStore(directory=scratch)
        self._env = env
        self._any_platform = any_platform
        self._read: dict[str, Resolved] = {}

    def find(self, name: str) -> FoundImage | None:
        """Return what a name stands for in its registry now."""
        reference = Reference.parse(name).with_default_tag()
        try:
            resolved = self._resolve(reference)
        except NoSuchImage:
            return None
        digest = Digest.of(resolved.manifest_bytes)
        return FoundImage(
            name=name,
            reference=f"{reference.name}@{digest}",
            digest=str(digest),
            os=resolved.config.os,
            architecture=resolved.config.architecture,
            variant=resolved.config.variant,
            labels=resolved.config.labels,
        )

    def read(self, reference: str) -> Image:
        """Return an image whose layers stay in the registry."""
        if reference not in self._read:
            self._read[reference] = self._resolve(Reference.parse(reference))
        return assemble(self._read[reference], self._blobs)

    def fetch(self, layers: Sequence[Layer]) -> None:
        """Pull those of what was read."""
        wanted = {layer.descriptor.digest for layer in layers}
        for resolved in self._read.values():
            self._pull(resolved, [layer for layer in resolved.manifest.layers if layer.digest in wanted])

    def fetch_foreign(self, names: Sequence[str]) -> None:
        """Pull what was read from other registries than that of `names`."""
        registries = {Reference.parse(name).registry for name in names}
        for resolved in self._read.values():
            if registries != {resolved.reference.registry}:
                self._pull(resolved, resolved.manifest.layers)

    def _resolve(self, reference: Reference) -> Resolved:
        return resolve(self._client, reference, host_platform(), self._blobs, is_strict=not self._any_platform)

    def _pull(self, resolved: Resolved, layers: Sequence[Descriptor]) -> None:
        missing = {layer.digest: layer for layer in layers if not self._blobs.has(layer)}
        repository = self._client.repository(resolved.reference)
        Transfer(self._client, repository, self._blobs, str(resolved.reference), None).run(list(missing.values()))

    def keep(self, image: Image, run_image: Image) -> None:
        """Do nothing: it is there."""

    def outputs(self, names: Sequence[str]) -> tuple[Output, ...]:
        """Return a repository for each name."""
        return tuple(RegistryOutput.make(name) for name in names)

    def connections(self) -> Connections:
        """Return the client; blobs of what was read can be taken from where they are."""
        origins = tuple(resolved.reference for resolved in self._read.values())
        return Connections(client=self._client, env=self._env, mount_from=origins)

    def identity(self, found: FoundImage, name: str) -> str:
        """Return the digest in the repository of `name`, whichever mirror the image was found in."""
        return pinned(name, found.digest)
