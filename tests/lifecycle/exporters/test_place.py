"""Places for outputs: what cannot be written is known before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cnb.errors import InvalidValue
from lifecycle.exporters.place import check_place, writing_to
from tests.lifecycle.exporters.writing import check


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_a_place_below_a_file_is_refused_before_the_work(transport: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValue, match="is a file"):
        check(f"{transport}:{tmp_path / 'file' / 'image'}")


def test_directories_that_are_missing_will_be_made(tmp_path: Path) -> None:
    check_place(tmp_path / "a" / "b" / "image.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_will_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "image.tar").touch()
    check_place(tmp_path / "image.tar")


def test_where_nothing_can_be_made_the_place_is_named() -> None:
    with pytest.raises(InvalidValue, match="/proc/image"), writing_to(Path("/proc/image")):
        Path("/proc/image").mkdir()
