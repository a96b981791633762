"""Many who write into one layout at once, in threads of one program; processes do so in tests/integration/test_concurrency.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lifecycle.oci.image import Image
from lifecycle.oci.layout import blob_path, read_image, read_index
from tests.lifecycle.exporters.writing import write_to
from tests.lifecycle.oci.images import file_layer, image_of, validate_image

MANY = 32


def test_every_image_is_whole_and_every_name_leads_to_one(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    common = file_layer(tmp_path / "made", {"common": "x" * 100_000})
    images = [image_of(common, file_layer(tmp_path / "made", {"own": str(number)})) for number in range(MANY)]

    def write(number: int) -> None:
        write_to(images[number], f"oci:{layout}:own-{number}", f"oci:{layout}:everyone-s")

    with ThreadPoolExecutor(MANY) as threads:
        assert list(threads.map(write, range(MANY))) == [None] * MANY
    for number, image in enumerate(images):
        found = read_image(f"oci:{layout}:own-{number}")
        assert found.digest == image.digest
        validate_image(found)
    assert read_image(f"oci:{layout}:everyone-s").digest in {image.digest for image in images}
    assert len(read_index(layout)) == MANY + 1
    assert {path.name for path in (layout / "blobs/sha256").iterdir()} == {path.name for path in _blobs(layout, images)}


def _blobs(layout: Path, images: list[Image]) -> Iterator[Path]:
    for image in images:
        digests = (image.digest, image.id, *(layer.descriptor.digest for layer in image.layers))
        yield from (blob_path(layout, digest) for digest in digests)
