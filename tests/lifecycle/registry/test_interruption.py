"""A process that pulls or pushes, ended from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lifecycle.oci.image import Image
from tests.lifecycle.oci.images import file_layer, image_of, member, tar_layer, write_layout
from tests.lifecycle.registry.fake_registry import Exchange, FakeRegistry
from tests.lifecycle.registry.processes import start_pull, start_push


@pytest.fixture
def image(tmp_path: Path) -> Image:
    layers = [file_layer(tmp_path / "made", {f"{number}": os.urandom(100_000).hex()}) for number in range(5)]
    return image_of(*layers)


def interrupt(process: subprocess.Popen[str], asked: threading.Event, released: threading.Event) -> None:
    """Ctrl-C for a process that waits for a registry: it ends at once, and by nothing else."""
    try:
        assert asked.wait(30)
        time.sleep(0.1)
        since = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        released.set()
    assert time.monotonic() - since < 5
    assert errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("at", ["headers", "body"])
def test_ctrl_c_ends_a_pull_at_once(image: Image, tmp_path: Path, at: str) -> None:
    asked, released = threading.Event(), threading.Event()

    def stall(exchange: Exchange) -> bool:
        if str(image.id) in exchange.path:
            return False
        if at == "body":
            exchange.send_response(200)
            exchange.send_header("Content-Length", "1000000")
            exchange.end_headers()
            exchange.wfile.write(b"x" * 1000)
        asked.set()
        released.wait(30)
        return exchange.cut()

    with FakeRegistry() as registry:
        name = registry.add(image)
        registry.always("/blobs/", stall)
        interrupt(start_pull(name, tmp_path / "images"), asked, released)
        registry.hooks.clear()
        again = start_pull(name, tmp_path / "images")
        assert again.wait(60) == 0
        again.communicate()


def test_a_killed_pull_is_continued(image: Image, tmp_path: Path) -> None:
    layer = image.layers[0].descriptor
    asked, released = threading.Event(), threading.Event()

    def stall(exchange: Exchange) -> bool:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(layer.size))
        exchange.end_headers()
        exchange.wfile.write(exchange.registry.blobs[str(layer.digest)][:70_000])
        exchange.wfile.flush()
        asked.set()
        released.wait(30)
        return exchange.cut()

    with FakeRegistry() as registry:
        name = registry.add(image)
        registry.before(str(layer.digest), stall)
        process = start_pull(name, tmp_path / "images")
        partial = tmp_path / "images" / "blobs" / "sha256" / f".partial-{layer.digest.hex}"
        assert asked.wait(30)
        deadline = time.monotonic() + 20
        while not partial.exists() or partial.stat().st_size < 70_000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.communicate()
        released.set()
        ranges: list[str | None] = []
        registry.always(str(layer.digest), lambda exchange: bool(ranges.append(exchange.headers.get("Range"))))
        again = start_pull(name, tmp_path / "images")
        assert again.wait(60) == 0
        again.communicate()
        assert ranges == ["bytes=70000-"]
        assert not list((tmp_path / "images").rglob(".partial-*"))


def test_a_disk_without_room_is_left_without_what_was_begun(image: Image, tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        process = start_pull(registry.add(image), tmp_path / "images", limit=50_000)
        _, errors = process.communicate(timeout=60)
    assert errors.strip() == "File too large"
    sizes = [path.stat().st_size for path in (tmp_path / "images").rglob("*") if path.is_file()]
    assert sum(sizes) < 10_000


@pytest.mark.parametrize("at", ["HEAD", "PATCH", "manifest"])
def test_ctrl_c_ends_a_push_at_once(tmp_path: Path, at: str) -> None:
    image = image_of(tar_layer(tmp_path / "made", [(member("large"), os.urandom(600_000))]))
    write_layout(tmp_path / "layout", image)
    asked, released = threading.Event(), threading.Event()

    def stall(exchange: Exchange) -> bool:
        is_manifest = "/manifests/" in exchange.path
        if exchange.command != ("PUT" if at == "manifest" else at) or is_manifest != (at == "manifest"):
            return False
        asked.set()
        released.wait(30)
        return exchange.cut()

    with FakeRegistry() as registry:
        registry.always("/v2/team/app/", stall)
        interrupt(start_push(f"{registry.host}/team/app:1", tmp_path / "layout"), asked, released)
        assert not registry.manifests
        registry.hooks.clear()
        again = start_push(f"{registry.host}/team/app:1", tmp_path / "layout")
        assert again.wait(60) == 0
        again.communicate()
        assert registry.manifests["team/app:1"] == (image.manifest_bytes, image.descriptor.media_type)
