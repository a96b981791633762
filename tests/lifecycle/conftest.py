from __future__ import annotations

from pathlib import Path

import pytest

from tests.lifecycle.world import RecordingLog, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    result = World(tmp_path, RecordingLog())
    for directory in (result.app, result.layers, result.buildpacks):
        directory.mkdir()
    return result
