from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.cache import Cache
from lifecycle.cnb.command import CommandTimeout
from lifecycle.cnb.deadline import NEVER, Cancellation, Deadline
from lifecycle.cnb.reference import Reference
from lifecycle.oci.archive import ROOT
from lifecycle.remote_cache import RemoteCache
from tests.lifecycle.cached import GROUP, Machine, found
from tests.lifecycle.registry.fake_registry import Exchange, FakeRegistry, client_for
from tests.pybuild.recording_log import RecordingLog

NAME = "team/cache:main"


@dataclass
class Node:
    """A machine that builds with a cache image."""

    machine: Machine
    registry: FakeRegistry
    log: RecordingLog
    restored: dict[str, str] = field(default_factory=dict)
    """What the last build began with."""

    @property
    def cache(self) -> Cache:
        return self.machine.cache

    def open(self, deadline: Deadline = NEVER) -> RemoteCache:
        """For the next build, which has to end by `deadline`."""
        work = self.machine.root / f"work{len(list(self.machine.root.iterdir()))}"
        reference = Reference.parse(f"{self.registry.host}/{NAME}")
        return RemoteCache(reference, client_for(), work=work, log=self.log, deadline=deadline)

    def restore(self, remote: RemoteCache) -> Path:
        """The layers directory of a build that begins."""
        remote.restore(self.cache)
        layers = self.machine.restore()
        self.restored = found(layers)
        self.machine.declare_again(layers)
        return layers

    def build(self, content: str | None = None) -> list[str]:
        """What a build does, and what it says; `content`, if there is some, is what the cached layer has then."""
        before = len(self.log.lines)
        remote = self.open()
        layers = self.restore(remote)
        if content is not None:
            if not (layers / "example_pip/c").exists():
                self.machine.write_layers(layers, "c")
            (layers / "example_pip/c/file").write_text(content)
        with remote.exporting(self.cache, layers_dir=layers, group=GROUP, owner=ROOT) as finish:
            saved = finish()
        self.machine.save(layers, known=saved.facts, cache_image=saved.digest)
        return self.log.lines[before:]

    def cached(self) -> str:
        """What the cache layer has."""
        layer = self.cache.recall().layers[0]
        return (self.cache.tree_path(layer.tree) / "file").read_text()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def node(registry: FakeRegistry, root: Path) -> Node:
    root.mkdir()
    return Node(machine=Machine(root), registry=registry, log=RecordingLog())


@pytest.fixture
def one(registry: FakeRegistry, tmp_path: Path) -> Node:
    return node(registry, tmp_path / "one")


@pytest.fixture
def other(registry: FakeRegistry, tmp_path: Path) -> Node:
    return node(registry, tmp_path / "other")


def make_older(one: Node) -> None:
    """Let the cache of a machine be from yesterday."""
    path = one.cache.directory / "metadata.json"
    then = path.stat().st_mtime - 24 * 3600
    os.utime(path, (then, then))


def warnings_in(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("warning ")]


def test_another_machine_continues(one: Node, other: Node) -> None:
    assert f"info There is no cache image {one.registry.host}/{NAME} yet" in one.build("first")
    assert warnings_in(other.build()) == []
    assert other.restored == {"c": "td"}
    assert other.cached() == "first"


def test_what_did_not_change_is_neither_sent_nor_named_again(one: Node, other: Node, registry: FakeRegistry) -> None:
    one.build("first")
    registry.requests.clear()
    assert one.build()[-1].endswith(": unchanged")
    assert other.build()[-1].endswith(": unchanged")
    assert registry.paths("PUT") == registry.paths("POST") == []


def test_who_cancels_ends_the_taking_and_hears_of_no_damage(one: Node, other: Node) -> None:
    one.build("first")
    cancellation = Cancellation()
    remote = other.open(Deadline(cancellation=cancellation))
    cancellation.cancel()
    with pytest.raises(CommandTimeout):
        remote.restore(other.cache)
    assert other.cache.is_new
    assert warnings_in(other.log.lines) == []
    other.build()
    assert other.cached() == "first"


def test_the_newer_cache_counts(one: Node, other: Node) -> None:
    one.build("first")
    make_older(one)
    other.build("second")
    one.build()
    assert one.cached() == "second"
    # It is that image now, and stays it however clocks differ.
    make_older(one)
    assert not [line for line in one.build() if "Taking" in line]
    other.build("third")
    make_older(other)
    assert not [line for line in other.build() if "Taking" in line]


@pytest.mark.parametrize("what", ["metadata", "a tree"])
def test_a_cache_that_is_not_whole_counts_as_missing(one: Node, what: str) -> None:
    one.build("first")
    if what == "metadata":
        (one.cache.directory / "metadata.json").write_text("{")
    else:
        # As a build that was killed leaves it.
        one.machine.restore()
    one.build()
    assert one.restored == {"c": "td"}


def test_a_cache_that_is_only_here_goes_into_the_registry(one: Node, other: Node, registry: FakeRegistry) -> None:
    one.build("first")
    registry.manifests.clear()
    registry.blobs.clear()
    one.build()
    assert warnings_in(other.build()) == []
    assert other.cached() == "first"


@pytest.mark.parametrize("when", ["blobs are looked for", "the manifest is put"])
def test_blobs_that_the_registry_has_lost_are_made_again(
    one: Node, other: Node, registry: FakeRegistry, when: str
) -> None:
    one.build("first")
    (lost,) = [digest for digest, content in registry.blobs.items() if content.startswith(b"\x1f\x8b")]
    # What is cached beside it makes another image, for which the layer that is known would do.
    remote = one.open()
    layers = one.restore(remote)
    one.machine.write_layers(layers, "bc")
    if when == "the manifest is put":
        registry.before(lost, lambda exchange: exchange.answer(200, Content_Length="100"), method="HEAD")
    del registry.blobs[lost]
    with remote.exporting(one.cache, layers_dir=layers, group=GROUP, owner=ROOT) as finish:
        assert finish().digest is not None
    assert lost in registry.blobs
    assert warnings_in(one.log.lines) == []
    other.build()
    assert other.restored == {"c": "td", "bc": "td"}


REFUSALS = {
    "denied": lambda exchange: exchange.answer(403, b'{"errors":[{"code":"DENIED","message":"read only"}]}'),
    "full": lambda exchange: exchange.answer(507),
    "too large": lambda exchange: exchange.answer(413),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_registry_that_takes_nothing_is_a_warning(one: Node, registry: FakeRegistry, refusal: str) -> None:
    registry.always("/blobs/uploads/", REFUSALS[refusal])
    (warning,) = warnings_in(one.build("first"))
    assert warning.startswith(f"warning The cache image {registry.host}/{NAME} could not be written: ")
    assert one.build() is not None
    assert one.restored == {"c": "td"}
    assert registry.manifests == {}


def test_a_registry_that_gives_nothing_is_a_warning(one: Node, other: Node, registry: FakeRegistry) -> None:
    one.build("first")
    registry.hooks.append(lambda exchange: exchange.command == "GET" and exchange.answer(403))
    (warning,) = warnings_in(other.build("own"))
    assert warning.startswith(f"warning The cache image {registry.host}/{NAME} is not used: ")
    assert other.cached() == "own"


def test_a_damaged_blob_is_not_used_and_replaced(one: Node, other: Node, registry: FakeRegistry) -> None:
    one.build("first")
    (digest,) = [digest for digest, content in registry.blobs.items() if content.startswith(b"\x1f\x8b")]
    whole = registry.blobs[digest]
    registry.blobs[digest] = whole[:-1] + bytes([whole[-1] ^ 1])
    lines = other.build("first")
    assert other.restored == {}
    assert len(warnings_in(lines)) == 1
    assert registry.blobs[digest] == whole


def test_nothing_goes_on_behind_a_build_that_fails(one: Node, registry: FakeRegistry) -> None:
    arrived, leave = threading.Event(), threading.Event()

    def stall(exchange: Exchange) -> bool:
        arrived.set()
        leave.wait(30)
        return exchange.cut()

    registry.always("/blobs/uploads/", stall)
    remote = one.open()
    layers = one.restore(remote)
    one.machine.write_layers(layers, "c")
    exporting = remote.exporting(one.cache, layers_dir=layers, group=GROUP, owner=ROOT)
    exporting.__enter__()
    assert arrived.wait(30)
    error = RuntimeError("an output could not be written")
    assert not exporting.__exit__(RuntimeError, error, None)
    assert not leave.is_set()
    leave.set()
    assert registry.manifests == {}
