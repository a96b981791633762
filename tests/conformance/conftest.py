from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.kit import Lifecycle, make_programs
from tests.lifecycle.world import RecordingLog, World


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def lifecycle(tmp_path: Path, programs: Path) -> Lifecycle:
    world = World(tmp_path, RecordingLog())
    for directory in (world.app, world.layers, world.buildpacks):
        directory.mkdir()
    return Lifecycle(world, programs)
