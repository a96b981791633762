from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lifecycle.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.begin(tmp_path)


@pytest.fixture(autouse=True)
def few_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's authorities vouch for no registry of the tests, and each client would take 30 ms to load them."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(variable, os.devnull)
