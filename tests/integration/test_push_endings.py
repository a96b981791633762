"""Pushes that are interrupted, killed, or whose reader goes: the tag names one whole image, and the next push is as any other."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.oci.layout_writer import open_layout
from tests.integration.command import Pybuild, expect_error, expect_success, ordinary_environment
from tests.integration.fault_proxy import Exchange, FaultProxy, Kind, answer
from tests.integration.kills import kill, spread, steps_of
from tests.integration.pushes import Images, Place, make_images
from tests.integration.registry import Registry, start_registry

pytestmark = pytest.mark.integration
_KILLS = 16
_ENDINGS = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def location(images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the new image is."""
    directory = tmp_path_factory.mktemp("layout") / "image"
    with open_layout(directory) as writer:
        writer.add(images.new)
        writer.tag(images.new, ())
    return f"oci:{directory}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with start_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def pybuild(tmp_path: Path) -> Pybuild:
    (tmp_path / "tmp").mkdir()
    environment = {**ordinary_environment(tmp_path / "cache-home"), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "cache-home").mkdir()
    return Pybuild(env=environment)


@pytest.fixture
def place(registry: Registry, images: Images) -> Iterator[Place]:
    with FaultProxy(registry.host) as proxy:
        yield new_place(registry, proxy, images)


def new_place(registry: Registry, proxy: FaultProxy, images: Images) -> Place:
    """A repository whose tag names the old image."""
    made = Place(registry=registry, proxy=proxy, images=images)
    made.push(images.old, host=registry.host)
    return made


def name_of(place: Place) -> str:
    return f"{place.proxy.host}/{place.name}:1"


@_ENDINGS
@pytest.mark.parametrize("kind", [Kind.POST, Kind.PATCH, Kind.PUT_MANIFEST], ids=lambda kind: kind.value)
def test_a_signal_ends_a_push_at_once(
    place: Place, pybuild: Pybuild, location: str, tmp_path: Path, kind: Kind, number: signal.Signals, status: int
) -> None:
    asked = threading.Event()

    def hold(exchange: Exchange) -> None:
        asked.set()
        exchange.wait()

    place.proxy.always(hold, kind)
    running = pybuild.start("push", location, name_of(place))
    assert asked.wait(60)
    running.send(number)
    expect_error(running.finish(30), status)
    assert place.digest() == place.images.old.digest.hex
    assert list((tmp_path / "tmp").iterdir()) == []
    place.proxy.relent()
    expect_success(pybuild("push", location, name_of(place)))
    assert place.digest() == place.images.new.digest.hex


@_ENDINGS
def test_a_signal_ends_a_push_that_waits_for_its_next_attempt(
    place: Place, pybuild: Pybuild, location: str, number: signal.Signals, status: int
) -> None:
    place.proxy.always(answer(429, "TOOMANYREQUESTS", Retry_After="60"), Kind.PATCH)
    running = pybuild.start("push", location, name_of(place))
    running.wait_for("trying again in 60 seconds")
    running.send(number)
    expect_error(running.finish(30), status)
    assert place.digest() == place.images.old.digest.hex


def test_pushes_that_are_killed_at_each_of_their_steps(
    registry: Registry, images: Images, pybuild: Pybuild, location: str
) -> None:
    with FaultProxy(registry.host) as proxy:
        first = new_place(registry, proxy, images)
        steps = steps_of(pybuild, "push", location, name_of(first))
        assert first.digest() == images.new.digest.hex
        count = 0
        for number, step in enumerate(spread(steps, _KILLS)):
            place = new_place(registry, proxy, images)
            count += kill(pybuild, step, "push", location, name_of(place))
            assert place.digest() in (images.old.digest.hex, images.new.digest.hex), f"step {step}"
            if number % 4 == 3:
                expect_success(pybuild("push", location, name_of(place)))
                assert place.digest() == images.new.digest.hex, f"after step {step}"
        assert count > _KILLS // 2


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_push_whose_reader_has_gone(place: Place, pybuild: Pybuild, location: str, stream: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [*pybuild.program, "push", location, name_of(place)],
        env=dict(pybuild.env),
        cwd=pybuild.cwd,
        stdout=writing if stream == "stdout" else subprocess.DEVNULL,
        stderr=writing if stream == "stderr" else subprocess.PIPE,
    ) as process:
        os.close(writing)
        said = b"" if process.stderr is None else process.stderr.read()
    assert process.returncode == 141
    assert b"Traceback" not in said
    assert b"error: " not in said
    # What is told on standard error is told before the end.
    pushed = place.images.new if stream == "stdout" else place.images.old
    assert place.digest() == pushed.digest.hex
