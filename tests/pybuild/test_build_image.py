"""What is kept of the build image that image extensions have made."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.oci.image import Image
from pybuild.build_image import keep_build_image, open_blobs
from tests.lifecycle.oci.images import file_layer, image_of
from tests.pybuild.recording_log import RecordingLog

pytestmark = pytest.mark.integration


def make(directory: Path, content: str) -> Image:
    """An image whose layer is where new layers go."""
    return image_of(file_layer(open_blobs(directory), {"usr/tool": content}), env=[f"SAYS={content}"])


def test_the_next_image_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    first, log = make(tmp_path, "first"), RecordingLog()
    kept = keep_build_image(first, tmp_path, log)
    assert (kept.rootfs / "usr" / "tool").read_text() == "first"
    assert (kept.rootfs / "workspace").is_dir()
    assert dict(kept.env) == {"SAYS": "first"}
    assert keep_build_image(first, tmp_path, log) == kept
    assert log.lines == ["step Unpacking the build image"]
    second = make(tmp_path, "second")
    again = keep_build_image(second, tmp_path, log)
    assert (again.rootfs / "usr" / "tool").read_text() == "second"
    assert list(open_blobs(tmp_path).iterdir()) == [second.layers[0].path]
    # What a killed build left half unpacked is not taken for whole.
    (tmp_path / "image-id").unlink()
    (again.rootfs / "usr" / "tool").unlink()
    assert (keep_build_image(second, tmp_path, log).rootfs / "usr" / "tool").read_text() == "second"
