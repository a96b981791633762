"""Engines that say nothing: whoever waits for them can stop."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.daemon.engine import open_engine
from tests.lifecycle.daemon.fake_engine import FakeEngine
from tests.loopback import make_certificates


@pytest.fixture(params=["unix", "tcp", "tls"])
def silence(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The environment that leads to a socket that takes connections and never answers."""
    if request.param == "unix":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "silent.sock"))
            listening.listen()
            yield {"DOCKER_HOST": f"unix://{tmp_path}/silent.sock"}
        return
    with socket.create_server(("127.0.0.1", 0)) as listening:
        env = {"DOCKER_HOST": f"tcp://127.0.0.1:{listening.getsockname()[1]}"}
        if request.param == "tls":
            made = make_certificates(tmp_path / "made")
            for path, name in ((made.authority, "ca"), (made.certificate, "cert"), (made.key, "key")):
                shutil.copy(path, tmp_path / f"{name}.pem")
            env |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
        yield env


@contextlib.contextmanager
def ends_soon() -> Iterator[None]:
    since = time.monotonic()
    yield
    assert time.monotonic() - since < 3


def test_who_waits_for_a_silent_engine_can_cancel(silence: Mapping[str, str]) -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    with ends_soon(), pytest.raises(CommandTimeout), open_engine(silence, deadline=Deadline(cancellation=cancellation)):
        pass


def test_an_engine_that_falls_silent_while_it_takes_an_image_is_left(tmp_path: Path) -> None:
    cancellation, may_end = Cancellation(), threading.Event()

    def say_nothing(_: object) -> None:
        cancellation.cancel()
        may_end.wait(10)

    with FakeEngine() as fake:
        fake.on_load = say_nothing
        deadline = Deadline(cancellation=cancellation)
        try:
            with ends_soon(), open_engine(fake.env, deadline=deadline) as engine, pytest.raises(CommandTimeout):
                engine.load(lambda write: write(memoryview(bytes(1 << 20))))
        finally:
            may_end.set()
