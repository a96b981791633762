"""The lock of a project while Poetry works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from buildpacks.poetry.locking import placed_lock


@pytest.mark.parametrize(
    "change",
    [lambda path: None, lambda path: path.unlink(), lambda path: path.write_text("another")],
    ids=["kept", "removed", "written"],
)
@pytest.mark.parametrize("before", ["the user's", None])
@pytest.mark.parametrize("placed", ["placed", None])
def test_the_user_s_lock_is_as_it_was_whatever_poetry_did(
    tmp_path: Path, change: Callable[[Path], object], before: str | None, placed: str | None
) -> None:
    path = tmp_path / "poetry.lock"
    if before is not None:
        path.write_text(before)
    with placed_lock(tmp_path, placed):
        assert placed is None or path.read_text() == placed
        if path.exists():
            change(path)
    assert (path.read_text() if path.exists() else None) == before
