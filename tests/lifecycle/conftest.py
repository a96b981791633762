from __future__ import annotations

from pathlib import Path

import pytest

from tests.lifecycle.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.begin(tmp_path)
