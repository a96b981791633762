from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.images import Platform
from tests.conformance.kit import Lifecycle, make_lifecycle, make_programs
from tests.lifecycle.registry.fake_registry import FakeRegistry


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once for all processes of the run."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "programs"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make_programs(place)


@pytest.fixture
def lifecycle(tmp_path: Path, programs: Path) -> Lifecycle:
    return make_lifecycle(tmp_path, programs)


@pytest.fixture
def platform(lifecycle: Lifecycle) -> Iterator[Platform]:
    with FakeRegistry() as registry:
        yield Platform(lifecycle, registry)
