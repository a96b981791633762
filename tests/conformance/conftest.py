from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.images import Platform
from tests.conformance.kit import Lifecycle, make_lifecycle, make_programs
from tests.lifecycle.registry.fake_registry import FakeRegistry


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def lifecycle(tmp_path: Path, programs: Path) -> Lifecycle:
    return make_lifecycle(tmp_path, programs)


@pytest.fixture
def platform(lifecycle: Lifecycle) -> Iterator[Platform]:
    with FakeRegistry() as registry:
        yield Platform(lifecycle, registry)
