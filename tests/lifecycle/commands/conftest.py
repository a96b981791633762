from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lifecycle.commands.platform import Platform
from tests.lifecycle.registry.fake_registry import FakeRegistry
from tests.lifecycle.world import World


@pytest.fixture
def platform(world: World, capsys: pytest.CaptureFixture[str]) -> Iterator[Platform]:
    with FakeRegistry() as registry:
        yield Platform(world, registry, capsys)
