"""Where a program has the images of a build: in registries, in a Docker engine, or in OCI layouts (platform.md, `-daemon`, `-layout`).

The three modules have one class each, which is an `Images`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lifecycle.cnb.target import Target
from lifecycle.exporters import Connections, Output
from lifecycle.oci.image import Image, Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image that is there. `name`: as it was asked for; `reference`: what identifies it exactly, for `Images.read`.

    `digest` is of the manifest; an engine does not know it, and has the image's id there.
    """

    name: str
    reference: str
    digest: str
    os: str
    architecture: str
    variant: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What it runs on, apart from the distribution."""
        return Target(os=self.os or None, arch=self.architecture or None, variant=self.variant)


class Images(Protocol):
    """A place of images."""

    def find(self, name: str) -> FoundImage | None:
        """Return the image that `name` stands for now; `None`: there is none. Raises `CnbError`."""

    def read(self, reference: str) -> Image:
        """Return an image that was found. Where the place holds its blobs, they need not be on this machine. Raises `CnbError`."""

    def fetch(self, layers: Sequence[Layer]) -> None:
        """Bring to this machine the blobs of layers of images that were read, as far as they are not here.

        Raises `CnbError`, `OSError`.
        """

    def fetch_foreign(self, names: Sequence[str]) -> None:
        """Bring to this machine what was read and cannot be had by a place where an image is to have `names`."""

    def keep(self, image: Image, run_image: Image) -> None:
        """Keep what the next build will ask for, where it would take long to have it again. Raises `CnbError`, `OSError`."""

    def outputs(self, names: Sequence[str]) -> tuple[Output, ...]:
        """Return where an image goes that is to have `names`. Raises `InvalidValue`."""

    def connections(self) -> Connections:
        """Return what outputs are reached by."""

    def identity(self, found: FoundImage, name: str) -> str:
        """Return what an app image says that it stands on, where that is `found`, which its operator calls `name`."""
