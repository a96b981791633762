"""Images that go into a Docker engine; a real one takes them in tests/integration/test_sinks.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Cancellation, Deadline
from lifecycle.cnb.errors import InvalidValue
from lifecycle.daemon.engine import open_engine
from lifecycle.daemon.errors import EngineFailed, EngineUnusable
from lifecycle.exporters import Connections, check_outputs, parse_output, write_outputs
from lifecycle.exporters.transfer import Transfer, size_of_blobs
from lifecycle.oci.errors import BlobMismatch, ImageNotFound
from lifecycle.oci.image import Image
from tests.lifecycle.daemon.fake_engine import FakeEngine
from tests.lifecycle.oci.images import file_layer, image_of
from tests.lifecycle.registry.fake_registry import client_for
from tests.loopback import QuietHandler


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as started:
        yield started


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return image_of(*(file_layer(tmp_path / "made", {name: name}) for name in "abc"))


def load(engine: FakeEngine, image: Image, *texts: str, deadline: Deadline = NEVER) -> Transfer:
    outputs = [parse_output(text) for text in texts or ("docker-daemon:team/app:1",)]
    connections = Connections(client=client_for(), env=engine.env, deadline=deadline)
    return write_outputs(image, outputs, connections)[0].transfer


def test_the_image_has_its_names_when_all_of_it_is_there(engine: FakeEngine, image: Image) -> None:
    transfer = load(engine, image, "docker-daemon:team/app:1", "docker-daemon:other")
    assert transfer == Transfer(sent=size_of_blobs(image))
    assert engine.images[str(image.id)].names == ["docker.io/team/app:1", "docker.io/library/other:latest"]
    changes = [request.split("/")[-1] for request in engine.requests if request.startswith("POST")]
    assert changes == ["load", "tag", "tag"]


def test_an_image_that_is_there_only_gets_a_name(engine: FakeEngine, image: Image) -> None:
    load(engine, image)
    assert load(engine, image, "docker-daemon:team/app:2") == Transfer(present=size_of_blobs(image))
    assert engine.images[str(image.id)].names == ["docker.io/team/app:1", "docker.io/team/app:2"]
    assert len(engine.archives) == 1


def test_layers_that_an_image_of_the_engine_begins_with_are_not_sent(
    engine: FakeEngine, image: Image, tmp_path: Path
) -> None:
    load(engine, image)
    changed = image_of(*image.layers[:2], file_layer(tmp_path / "made", {"d": "4"}), image.layers[2])
    new = changed.layers[2:]
    transfer = load(engine, changed)
    assert transfer.sent == changed.manifest.config.size + sum(layer.descriptor.size for layer in new)
    blobs = {name.rpartition("/")[2] for name in engine.archives[1]}
    assert blobs.isdisjoint(layer.descriptor.digest.hex for layer in image.layers[:2])
    assert {layer.descriptor.digest.hex for layer in new} <= blobs


def test_all_layers_are_sent_where_the_engine_cannot_do_without(engine: FakeEngine, image: Image) -> None:
    load(engine, image)
    # As if the image were removed while it is being counted on.
    counted = engine.images.pop(str(image.id))
    other = image_of(*image.layers, image.layers[0])
    engine.images["sha256:" + "0" * 64] = counted

    def forget(handler: QuietHandler) -> None:
        engine.images.clear()

    engine.on_load = forget
    assert load(engine, other) == Transfer(sent=size_of_blobs(other))
    assert str(other.id) in engine.images


def test_an_engine_that_keeps_blobs_is_sent_all_of_them(engine: FakeEngine, image: Image) -> None:
    engine.driver_status = [["driver-type", "io.containerd.snapshotter.v1"]]
    load(engine, image)
    changed = image_of(*image.layers, image.layers[0])
    assert load(engine, changed) == Transfer(sent=size_of_blobs(changed))


def test_an_error_in_a_good_answer_is_one(engine: FakeEngine, image: Image) -> None:
    def refuse(handler: QuietHandler) -> tuple[int, object]:
        handler.body()  # type: ignore[attr-defined]
        return 200, {"errorDetail": {"message": "no space left on device"}, "error": "no space left on device"}

    engine.on_load = refuse
    with pytest.raises(EngineFailed, match="no space left on device") as caught:
        load(engine, image)
    assert caught.value.exit_code == 62
    assert "prune" in str(caught.value.hint)
    assert not engine.images


def test_an_engine_that_goes_away_in_the_middle_is_told(engine: FakeEngine, image: Image) -> None:
    def go_away(handler: QuietHandler) -> tuple[int, object]:
        handler.connection.close()
        raise ConnectionAbortedError

    engine.on_load = go_away
    with pytest.raises(EngineFailed, match="while loading the image"):
        load(engine, image)


def test_an_engine_that_says_nothing_has_until_the_deadline(engine: FakeEngine, image: Image) -> None:
    def wait(handler: QuietHandler) -> None:
        time.sleep(1.5)

    engine.on_load = wait
    with pytest.raises(CommandTimeout):
        load(engine, image, deadline=Deadline.after(1))


def test_a_damaged_layer_is_the_error_and_not_what_the_engine_makes_of_it(engine: FakeEngine, image: Image) -> None:
    image.layers[1].path.write_bytes(b"x" * image.layers[1].descriptor.size)
    with pytest.raises(BlobMismatch):
        load(engine, image)
    assert not engine.images


def test_when_another_output_fails_the_engine_is_as_it_was(engine: FakeEngine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValue):
        load(engine, image, "docker-daemon:team/app:1", f"oci:{tmp_path}/file/layout")
    assert not engine.images


def test_an_engine_that_does_not_answer_is_known_before_the_work() -> None:
    with FakeEngine() as gone:
        env = gone.env
    connections = Connections(client=client_for(), env=env)
    with pytest.raises(EngineUnusable) as caught:
        check_outputs([parse_output("docker-daemon:name")], connections)
    assert caught.value.summary == f"the Docker engine at {env['DOCKER_HOST']} does not answer"
    assert caught.value.facts == (("reason", "Connection refused"),)
    assert "--publish" in str(caught.value.hint)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("env", "address", "reason"),
    [
        ({"DOCKER_CONTEXT": "no-such-context"}, "the context `no-such-context`", "there is no such context"),
        ({"DOCKER_HOST": "ssh://me@nowhere"}, "ssh://me@nowhere", "ssh -L"),
    ],
)
def test_no_other_engine_than_the_one_that_was_named_is_taken(env: dict[str, str], address: str, reason: str) -> None:
    with pytest.raises(EngineUnusable) as caught, open_engine(env):
        pytest.fail("an engine was found")
    assert caught.value.address == address
    assert reason in caught.value.reason


def test_an_image_that_the_engine_lacks_cannot_be_saved(engine: FakeEngine, tmp_path: Path) -> None:
    with open_engine(engine.env) as opened, pytest.raises(ImageNotFound):
        opened.save("missing", tmp_path / "archive")


@pytest.mark.parametrize("text", ["docker-daemon:", "docker-daemon:A B", "docker-daemon:a@sha256:" + "0" * 64])
def test_a_name_that_no_image_can_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_output(text)


def test_tags_are_names_in_the_engine() -> None:
    output = parse_output("docker-daemon:", tags=["a", "ghcr.io/b/c:1"])
    assert output.location == "docker-daemon:docker.io/library/a:latest"


def test_an_image_that_gets_no_name_is_not_left_behind(engine: FakeEngine, image: Image) -> None:
    engine.refused_names.add("docker.io/team/app:1")
    with pytest.raises(EngineFailed, match="naming the image"):
        load(engine, image)
    assert not engine.images


def test_an_image_of_a_build_that_is_cancelled_is_not_left_behind(engine: FakeEngine, image: Image) -> None:
    cancellation = Cancellation()

    def cancel() -> None:
        assert engine.images
        cancellation.cancel()
        raise InterruptedError

    connections = Connections(client=client_for(), env=engine.env, deadline=Deadline(cancellation=cancellation))
    with pytest.raises(InterruptedError):
        write_outputs(image, [parse_output("docker-daemon:team/app:1")], connections, before_commit=cancel)
    assert not engine.images
