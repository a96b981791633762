"""Images on their way to outputs, with what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import Cancellation, Deadline
from lifecycle.exporters import parse_output
from lifecycle.exporters.transfer import Transfer, size_of_blobs
from lifecycle.oci.image import Image
from pybuild.delivery import Delivery, describe_transfer
from pybuild.errors import UsageError
from tests.lifecycle.daemon.fake_engine import FakeEngine
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import Exchange, FakeRegistry
from tests.pybuild.recording_log import RecordingLog


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_of(file_layer(tmp_path / "made", {"a": "1"}))


def delivery_to(*texts: str) -> Delivery:
    return Delivery(outputs=tuple(parse_output(text) for text in texts), env={"HOME": "/nowhere"})


def test_it_says_what_travelled_and_where_the_image_is(registry: FakeRegistry, image: Image, tmp_path: Path) -> None:
    location = f"docker://{registry.host}/team/app:1"
    log = RecordingLog()
    for _ in range(2):
        delivery = delivery_to(location, f"oci:{tmp_path}/layout")
        delivery.check(log)
        written = delivery.deliver(image, log)
    size = size_of_blobs(image)
    assert [one.location for one in written] == [
        f"{location}@{image.digest}",
        f"oci:{tmp_path}/layout:latest@{image.digest}",
    ]
    assert [one.transfer for one in written] == [Transfer(present=size)] * 2
    assert written[0].to_json() == {
        "output": f"{location}@{image.digest}",
        "sent": 0,
        "present": size,
        "mounted": 0,
        "retries": 0,
    }
    pushing = f"progress Pushing {location}: {size} of {size}"
    kilobytes = f"{size / 1e3:.1f} kB"
    assert log.lines == [
        pushing,
        f"info {location}@{image.digest}: {kilobytes} sent",
        pushing,
        f"info {location}@{image.digest}: nothing sent, {kilobytes} there before",
    ]


def test_layers_come_from_where_the_image_came_from(registry: FakeRegistry, image: Image) -> None:
    registry.add(image, "team/base:1")
    registry.elsewhere = {"team/base": set(registry.blobs)}
    delivery = delivery_to(f"docker://{registry.host}/team/app:1")
    origins = ["oci:dir", f"docker://{registry.host}/team/base:1", "the builder"]
    (written,) = delivery.deliver(image, RecordingLog(), origins=origins)
    assert written.transfer == Transfer(mounted=size_of_blobs(image))


@pytest.mark.parametrize("location", ["docker://pybuild/run:bookworm", "docker-daemon:docker.io/pybuild/run:bookworm"])
def test_the_names_of_the_builder_s_images_are_not_taken(location: str) -> None:
    with pytest.raises(UsageError, match="the builder"):
        delivery_to("docker-daemon:a", location).refuse_names(["no name of an image", "pybuild/run:bookworm"])
    delivery_to(location, "oci:dir").refuse_names(["pybuild/run:bullseye"])


def test_what_was_done_is_in_words() -> None:
    transfer = Transfer(sent=12_300_000, present=40_100_000, mounted=512, retries=2)
    assert describe_transfer(transfer) == (
        "12.3 MB sent, 40.1 MB there before, 0.5 kB taken from another repository, 2 retries"
    )


def test_it_is_too_late_to_cancel_when_names_are_being_given(registry: FakeRegistry, image: Image) -> None:
    cancellation = Cancellation()

    def cancel(exchange: Exchange) -> bool:
        if exchange.command == "PUT":
            cancellation.cancel()
        return False

    with FakeEngine() as engine:
        registry.always("/manifests/1", cancel)
        delivery = replace(
            delivery_to(f"docker://{registry.host}/team/app:1", "docker-daemon:team/app:1"),
            env={"HOME": "/nowhere", **engine.env},
        )
        delivery.deliver(image, RecordingLog(), deadline=Deadline(cancellation=cancellation))
        assert cancellation.is_cancelled
        assert engine.identify("docker.io/team/app:1") == str(image.id)


def test_who_cancels_before_leaves_everything_as_it_was(registry: FakeRegistry, image: Image) -> None:
    cancellation = Cancellation()
    with FakeEngine() as engine:
        delivery = replace(
            delivery_to(f"docker://{registry.host}/team/app:1", "docker-daemon:team/app:1"),
            env={"HOME": "/nowhere", **engine.env},
        )
        with pytest.raises(CommandTimeout):
            delivery.deliver(
                image, RecordingLog(), deadline=Deadline(cancellation=cancellation), before_commit=cancellation.cancel
            )
        assert not engine.images
    assert not registry.manifests
