"""The images that extensions change, kept where the restorer and the extender find them: `<cache>/base/<digest>`, OCI layouts.

The reference implementation keeps manifest and config there, because its extender runs inside of the image itself. Buildah needs the
layers too.
"""

from __future__ import annotations

from pathlib import Path

from lifecycle.cnb.digest import Digest
from lifecycle.cnb.errors import CnbError
from lifecycle.cnb.generated import Kind
from lifecycle.execution.errors import ExtendError
from lifecycle.flags import Flag
from lifecycle.oci.image import Image
from lifecycle.oci.layout import read_image
from lifecycle.oci.layout_writer import open_layout
from lifecycle.oci.location import Location, Transport

# The name that platforms mount a volume at.
EXTENSION_CACHE = Flag(name="kaniko-dir", variable="PYBUILD_KANIKO_DIR", default="/kaniko/cache")


def bases_dir(cache: Path) -> Path:
    """Return where the images are."""
    return cache / "base"


def write_base(cache: Path, reference: str, image: Image) -> None:
    """Keep an image, whose layers are on disk, as what `reference` identifies; one that is there stays. Raises `OciError`, `OSError`."""
    directory = _directory(cache, reference)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with open_layout(directory) as layout:
        layout.add(image)
        layout.tag(image, ())


def read_base(cache: Path, reference: str, kind: Kind) -> Image:
    """Return the image that `reference` identifies. Raises `ExtendError` where it is not there."""
    directory = _directory(cache, reference)
    try:
        return read_image(Location(transport=Transport.OCI, path=directory))
    except CnbError as err:
        raise ExtendError(
            message=f"the {kind.value} image is not in {directory}: {err.summary}",
            advice="start `restorer` of this lifecycle before, with the same directory"
            + (" and `-build-image`" if kind is Kind.BUILD else ""),
        ) from err


def _directory(cache: Path, reference: str) -> Path:
    # Of a name with a digest the digest; of an image in an engine its id.
    return bases_dir(cache) / str(Digest.parse(reference.rpartition("@")[2]))
